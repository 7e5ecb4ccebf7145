// Rows of the log that came with the model: to start from, and to check that it scores here as it did at export.

import { byId, element } from "./dom.js";
import { features } from "./fields.js";
import { fromRaw } from "./values.js";

const TOLERANCE = 1e-5;

/** What a row says of a column, which may be called `constructor`: null where it says nothing. */
const rawOf = (row, name) => (Object.hasOwn(row, name) ? row[name] : null);

/** A button for each example and one for a blank row; puts the first. `put` is called after each. */
export function showExamples(recipe, fields, put) {
  const blank = { row: {}, word: "all blank" };
  const offered = [...recipe.examples.map((example, i) => ({ ...example, word: String(i + 1) })), blank];
  const buttons = offered.map(({ word }, number) => {
    const button = element("button", { type: "button", className: "example" }, word);
    button.addEventListener("click", () => choose(number));
    return button;
  });
  const press = (number) => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
  const choose = (number) => {
    fields.forEach((field) => field.put(rawOf(offered[number].row, field.name)));
    press(number);
    put();
  };
  byId("examples").replaceChildren(...buttons);
  byId("fields").addEventListener("input", () => press(null));
  choose(0);
}

/** Scores the examples; says in words how far from their scores at export they are. */
export async function checkExamples(recipe, engine) {
  if (!recipe.examples.length) return "";
  const valuesOf = ({ row }) => features(recipe).map(({ name, kind }) => fromRaw(kind, rawOf(row, name)));
  const rows = recipe.examples.map(valuesOf);
  const scores = await engine.score(rows);
  const furthest = Math.max(...recipe.examples.map(({ probability }, i) => Math.abs(probability - scores[i])));
  if (!(furthest <= TOLERANCE)) throw new Error(`rows of the log score ${furthest} away from their scores at export`);
  return `Checked: ${rows.length} rows of the log score as at export, to ${furthest.toExponential(0)}.`;
}

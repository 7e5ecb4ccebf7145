// The same row, asked of the server: both scores and their difference.

import { byId, say } from "./dom.js";
import { askScores } from "./server.js";
import { milliseconds } from "./words.js";

const CLOSE = 1e-5;
const exactly = (p) => p.toPrecision(8);

/** Makes the button work; `live.current()` is {row, score} as shown. */
export function compareWith(recipe, names, live) {
  byId("ask").addEventListener("click", async () => {
    const asked = live.current();
    if (!asked) return;
    forgetComparison();
    await compare(recipe, names, asked, live).catch(tellNoAnswer);
  });
}

async function compare(recipe, names, asked, live) {
  const start = performance.now();
  const { scores, model } = await askScores(names, [asked.row]);
  const took = performance.now() - start;
  if (live.current() !== asked) return; // edited meanwhile
  const difference = Math.abs(scores[0] - asked.score);
  byId("here-score").textContent = exactly(asked.score);
  byId("server-score").textContent = exactly(scores[0]);
  byId("difference").textContent = difference ? difference.toExponential(1) : "none";
  byId("server-took").textContent = `${milliseconds(took)}, the way there and back included`;
  byId("compared").hidden = false;
  if (difference > CLOSE) say(byId("ask-problem"), theyDiffer(recipe.name, model));
}

const tellNoAnswer = (error) => say(byId("ask-problem"), `No answer: ${error.message}.`);

const theyDiffer = (here, there) =>
  `They differ by more than ${CLOSE}: this page runs ${here}, the server now scores with ${there}, perhaps a newer ` +
  "model. Reload the page.";

/** Takes away what was said of an earlier row. */
export function forgetComparison() {
  byId("compared").hidden = true;
  say(byId("ask-problem"), "");
}

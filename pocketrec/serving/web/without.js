// What the score would be without each feature: every one blanked in turn, all in one batch.

import { byId, say } from "./dom.js";
import { percent, points } from "./words.js";

/** The rows with one value blanked each, for the features that are not blank already. */
export function blankedRows(fields, row) {
  const filled = fields.map((_, i) => i).filter((i) => !row[i].blank);
  return { filled, rows: filled.map((i) => row.with(i, fields[i].blank())) };
}

/** Draws a bar from the middle for each filled feature: to the right where the score would rise without it. */
export function showWithout(fields, filled, score, scores) {
  const changes = new Map(filled.map((i, k) => [i, scores[k] - score]));
  const longest = Math.max(...[...changes.values()].map(Math.abs), 1e-6);
  fields.forEach((field, i) => draw(field, changes.get(i), score, longest));
  tellStrongest(fields, changes, score);
}

function draw(field, change, score, longest) {
  const share = change === undefined ? 0 : change / longest;
  field.bar.style.width = `${50 * Math.abs(share)}%`;
  field.bar.className = `change ${share < 0 ? "falls" : "rises"}`;
  field.without.textContent = change === undefined ? "" : percent(score + change);
  field.without.title = change === undefined ? "" : `${points(change)} without ${field.name}`;
}

function tellStrongest(fields, changes, score) {
  const sorted = [...changes].sort(([, a], [, b]) => a - b);
  const without = ([i, change]) => `${fields[i].name} (without it ${percent(score + change)})`;
  const told = [];
  if (sorted[0]?.[1] < 0) told.push(`holds it up most is ${without(sorted[0])}`);
  if (sorted.at(-1)?.[1] > 0) told.push(`holds it down most is ${without(sorted.at(-1))}`);
  say(byId("strongest"), told.length ? `What ${told.join("; what ")}.` : "");
}

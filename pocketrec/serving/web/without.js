// What the score would be without each feature: every one blanked in turn, all in one batch.
//
// Bars are changes of the log-odds, in which a step from 1 % to 2 % is as long as one from 10 % to 18 %; the score
// itself stands beside them.

import { byId, say } from "./dom.js";
import { shortPercent } from "./words.js";

const SHORTEST_SCALE = 1e-3; // below it all bars are rounding
const TINY = 1e-12;

const logOdds = (p) => Math.log(Math.max(p, TINY) / Math.max(1 - p, TINY));

/** The rows with one value blanked each, for the features that are not blank already. */
export function blankedRows(fields, row) {
  const filled = fields.map((_, i) => i).filter((i) => !row[i].blank);
  return { filled, rows: filled.map((i) => row.with(i, fields[i].blank())) };
}

/** Draws a bar from the middle for each filled feature: to the right where the score would rise without it. */
export function showWithout(fields, filled, score, scores) {
  const now = logOdds(score);
  const effects = filled.map((i, k) => ({ field: fields[i], without: scores[k], change: logOdds(scores[k]) - now }));
  const longest = Math.max(...effects.map(({ change }) => Math.abs(change)), SHORTEST_SCALE);
  fields.forEach((field) => draw(field, 0, ""));
  effects.forEach(({ field, without, change }) => draw(field, change / longest, shortPercent(without)));
  tellStrongest(effects);
}

/** A bar of `share` of the half, and what stands beside it. */
function draw(field, share, beside) {
  field.bar.style.width = `${50 * Math.abs(share)}%`;
  field.bar.className = `change ${share < 0 ? "falls" : "rises"}`;
  field.without.textContent = beside;
}

function tellStrongest(effects) {
  const sorted = effects.toSorted((a, b) => a.change - b.change);
  const told = ({ field, without }) => `${field.name} (without it ${shortPercent(without)})`;
  const [up, down] = [sorted.at(0), sorted.at(-1)];
  const parts = [];
  if (up?.change < 0) parts.push(`holds it up most is ${told(up)}`);
  if (down?.change > 0) parts.push(`holds it down most is ${told(down)}`);
  say(byId("strongest"), parts.length ? `What ${parts.join("; what ")}.` : "");
}

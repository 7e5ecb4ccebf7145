// What the recipe says of the model.

import { byId, element } from "./dom.js";
import { count } from "./words.js";

const auc = (measured) =>
  measured?.auc != null && measured.auc.toFixed(4) + (measured.rows ? ` on ${count(measured.rows)} rows` : "");

export function showAbout({ model, sharing, memory, metrics, ids, made_by: made, inputs }) {
  const listed = [
    ["Ranker", [model?.ranker, model?.preset].filter(Boolean).join(", ")],
    ["Sharing scheme", sharing?.scheme],
    ["Memory", memory?.slots && `${count(memory.slots)} slots of ${memory.dtype}`],
    ["Features", `${inputs.dense.length} numbers, ${inputs.categorical.length} categories`],
    ["Ids", ids?.policy],
    ["AUC, validation", auc(metrics?.validation)],
    ["AUC, test", auc(metrics?.test)],
    ["Made", [made?.date?.slice(0, 10), made?.pocketrec && `pocketrec ${made.pocketrec}`].filter(Boolean).join(", ")],
  ];
  const told = listed.filter(([, what]) => what);
  byId("about").replaceChildren(...told.flatMap(([name, what]) => [element("dt", {}, name), element("dd", {}, what)]));
}

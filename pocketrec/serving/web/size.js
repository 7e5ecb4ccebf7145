// How much smaller: the tables as a square, the memory as a square inside it, areas to scale.

import { byId, element } from "./dom.js";
import { bytes, count, duration, times } from "./words.js";

const LINE_BITS = 100e6;
const loading = (size) => duration((8 * size) / LINE_BITS);

/** Draws what the recipe's sizes say; nothing where the size of the full tables is not known. */
export function showSize({ sizes, tables }) {
  const [memory, full] = [sizes.memory_bytes, sizes.full_bytes];
  byId("parts").replaceChildren(...parts(sizes, tables));
  if (!full || full <= memory) return;
  const ratio = full / memory;
  byId("headline").textContent = `${bytes(full)} of tables in ${bytes(memory)}: ${times(ratio)} times smaller`;
  byId("memory-square").style.width = byId("memory-square").style.height = `${100 / Math.sqrt(ratio)}%`;
  byId("tables-label").textContent = `${bytes(full)} of tables`;
  byId("memory-label").textContent = `${bytes(memory)} of memory`;
  byId("loading").textContent =
    `The drawing is to scale. Over a line of 100 Mbit/s the tables would take ${loading(full)} to arrive; ` +
    `this model, its layers and its map of ids included, is ${bytes(everything(sizes))} and takes ` +
    `${loading(everything(sizes))}.`;
  byId("drawing").hidden = false;
}

const everything = (sizes) => (sizes.memory_bytes ?? 0) + (sizes.dense_part_bytes ?? 0) + (sizes.id_map_bytes ?? 0);

function parts(sizes, tables) {
  const rows = tables.reduce((sum, table) => sum + BigInt(table.num_embeddings ?? 0), 0n);
  const full = [sizes.full_bytes && bytes(sizes.full_bytes), rows && `${count(rows)} rows`].filter(Boolean).join(", ");
  const listed = [
    [`${count(tables.length)} tables, in full`, full],
    ["Memory", sizes.memory_bytes && bytes(sizes.memory_bytes)],
    ["Dense part", sizes.dense_part_bytes && bytes(sizes.dense_part_bytes)],
    ["Map of ids", sizes.id_map_bytes ? bytes(sizes.id_map_bytes) : "none"],
    ["In all", bytes(everything(sizes))],
  ];
  const told = listed.filter(([, what]) => what);
  return told.flatMap(([name, what]) => [element("dt", {}, name), element("dd", {}, what)]);
}

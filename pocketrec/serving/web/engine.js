// What scores rows: the model in this browser, or the server. A row is a list of values (values.js), dense ones first.
//
// Both have `score(rows)` -> probabilities, and `here`: whether rows stay in this browser.

import { askScores } from "./server.js";

const VENDOR = new URL("./vendor/", import.meta.url);

/** The server has no copy of onnxruntime-web. */
export class NoRuntime extends Error {}

class Browser {
  here = true;

  constructor(ort, session, recipe, bytes) {
    Object.assign(this, { ort, session, bytes });
    this.dense = recipe.inputs.dense.length;
    this.output = recipe.graph.output;
  }

  async score(rows) {
    const feeds = { ids: this.#tensor("int64", BigInt64Array, rows.map((row) => row.slice(this.dense))) };
    if (this.dense) feeds.dense = this.#tensor("float32", Float32Array, rows.map((row) => row.slice(0, this.dense)));
    return (await this.session.run(feeds))[this.output].data;
  }

  #tensor(type, kind, rows) {
    return new this.ort.Tensor(type, kind.from(rows.flat(), (value) => value.number), [rows.length, rows[0].length]);
  }
}

class Server {
  here = false;

  constructor(names) {
    this.names = names;
  }

  async score(rows) {
    return (await askScores(this.names, rows)).scores;
  }
}

async function runtime() {
  const library = new URL("ort.wasm.bundle.min.mjs", VENDOR);
  const there = await fetch(library);
  if (!there.ok) throw new NoRuntime(`${library.pathname}: ${there.status}`);
  const ort = await import(library);
  ort.env.wasm.numThreads = 1; // threads need shared memory, and that special headers
  ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", VENDOR).href };
  return ort;
}

/** The model in this browser, run by onnxruntime-web. `part(name)` fetches its files. Throws where that cannot be. */
export async function browserEngine(recipe, part) {
  const [ort, graph, weights] = await Promise.all([runtime(), part("model.onnx"), part("model.safetensors")]);
  const externalData = [{ path: "model.safetensors", data: weights }];
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"], externalData });
  return new Browser(ort, session, recipe, graph.length + weights.length);
}

/** The server's POST /score, for a browser that cannot run the model. */
export const serverEngine = (names) => new Server(names);

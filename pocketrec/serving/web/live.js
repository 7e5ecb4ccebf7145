// The score, live: reads the fields after every edit, scores the latest state, shows it and what it depends on.

import { Clock } from "./clock.js";
import { forgetComparison } from "./compare.js";
import { byId, say } from "./dom.js";
import { blankedRows, showWithout } from "./without.js";
import { milliseconds, percent } from "./words.js";

const SERVER_PAUSE_MS = 150;
const ANNOUNCE_AFTER_MS = 700;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Live {
  #fields;
  #engine = null;
  #running = false;
  #again = false;
  #shown = null;
  #clock = new Clock();
  #announcing = 0;

  constructor(fields) {
    this.#fields = fields;
  }

  useEngine(engine) {
    this.#engine = engine;
    byId("latency").textContent = engine.here ? "" : "scored by the server";
    return this.edited();
  }

  /** {row, score} as shown, or null while there is none for what stands in the fields. */
  current() {
    return this.#shown;
  }

  /** Scores the fields as they stand; while a row is being scored, only the latest edit waits. */
  async edited() {
    this.#again = true;
    this.#shown = null;
    forgetComparison();
    if (this.#running || !this.#engine) return;
    this.#running = true;
    byId("score-box").ariaBusy = "true";
    while (this.#again) {
      if (!this.#engine.here) await pause(SERVER_PAUSE_MS);
      this.#again = false;
      await this.#scoreFields().catch((error) => this.#stale(`No score: ${error.message}.`));
    }
    this.#running = false;
    byId("score-box").ariaBusy = "false";
  }

  async #scoreFields() {
    const row = this.#fields.map((field) => field.value());
    const broken = this.#fields.filter((_, i) => row[i] === null).map((field) => field.name);
    if (broken.length) return this.#stale(`Look at ${broken.join(", ")}. The score shown is that of the row before.`);
    const { filled, rows } = blankedRows(this.#fields, row);
    const [score, ...others] = await (this.#engine.here ? this.#here(row, rows) : this.#engine.score([row, ...rows]));
    if (this.#again) return;
    this.#show(row, score);
    showWithout(this.#fields, filled, score, others);
  }

  async #here(row, rows) {
    const [score] = await this.#clock.time(() => this.#engine.score([row]));
    byId("latency").textContent = `${milliseconds(this.#clock.median())} a row, in your browser`;
    return [score, ...(rows.length ? await this.#engine.score(rows) : [])];
  }

  #show(row, score) {
    this.#shown = { row, score };
    byId("score").value = percent(score);
    byId("score").dataset.exact = score;
    byId("gauge").style.width = `${100 * score}%`;
    byId("row").classList.remove("stale");
    byId("ask").disabled = false;
    say(byId("stale"), "");
    this.#announce(`Score ${percent(score)}`);
  }

  #stale(problem) {
    byId("row").classList.add("stale");
    byId("ask").disabled = true;
    say(byId("stale"), problem);
    this.#announce(problem);
  }

  /** Tells those who listen, once the typing rests. */
  #announce(text) {
    clearTimeout(this.#announcing);
    this.#announcing = setTimeout(() => (byId("announced").textContent = text), ANNOUNCE_AFTER_MS);
  }
}

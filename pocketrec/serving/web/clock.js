// How long one row takes. Browsers tell time in steps of up to a millisecond, in which several rows are scored.

const ENOUGH_MS = 2;
const MOST_RUNS = 20;
const REMEMBERED = 25;
const WARM = 5; // the first runs are slow: the browser is still compiling

/** The median time of the last runs of one piece of work. */
export class Clock {
  #measured = [];

  /** Runs `work` until time is seen to pass, at first a few times more; returns its result. */
  async time(work) {
    let result;
    do {
      result = await this.#measure(work);
    } while (this.#measured.length < WARM);
    return result;
  }

  async #measure(work) {
    const start = performance.now();
    let runs = 0, elapsed = 0, result;
    while (runs < MOST_RUNS && elapsed < ENOUGH_MS) {
      result = await work();
      runs++;
      elapsed = performance.now() - start;
    }
    this.#measured = [...this.#measured, elapsed / runs].slice(-REMEMBERED);
    return result;
  }

  median() {
    const sorted = this.#measured.toSorted((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }
}

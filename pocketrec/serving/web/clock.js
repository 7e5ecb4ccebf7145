// How long one row takes. Browsers tell time in steps, of 5 µs to 1 ms: as many runs are timed together as it takes to
// tell, and no more, so that what else the machine does spoils few of them.

const STEPS = 4;
const MOST_RUNS = 50;
const REMEMBERED = 25;
const AT_FIRST = 15; // the first runs are slow: the browser is still compiling

/** The step of this browser's clock, in ms. */
function clockStep() {
  const start = performance.now();
  let now = start;
  while (now === start) now = performance.now();
  return now - start;
}

/** The median time of the last runs of one piece of work. */
export class Clock {
  #enough = STEPS * clockStep();
  #measured = [];

  /** Runs `work` until its time can be told, at first several times more; returns its result. */
  async time(work) {
    let result;
    do {
      result = await this.#measure(work);
    } while (this.#measured.length < AT_FIRST);
    return result;
  }

  async #measure(work) {
    const start = performance.now();
    let runs = 0, elapsed = 0, result;
    while (runs < MOST_RUNS && elapsed < this.#enough) {
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

// Numbers in words.

const digits = (n) => new Intl.NumberFormat("en", { maximumSignificantDigits: n });
const [THREE, FOUR] = [digits(3), digits(4)];
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 10500000 -> "10.5 MB". */
export function bytes(n) {
  const units = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [0, "bytes"]];
  const [size, unit] = units.find(([least]) => n >= least);
  return `${THREE.format(n / (size || 1))} ${unit}`;
}

/** 8400 seconds -> "2.33 hours". */
export const duration = (seconds) =>
  seconds >= 172800 ? `${THREE.format(seconds / 86400)} days`
  : seconds >= 7200 ? `${THREE.format(seconds / 3600)} hours`
  : seconds >= 120 ? `${THREE.format(seconds / 60)} minutes`
  : seconds >= 1 ? `${THREE.format(seconds)} seconds`
  : milliseconds(1000 * seconds);

export const milliseconds = (ms) => `${THREE.format(ms)} ms`;

/** 0.23412 -> "23.41 %". */
export const percent = (p) => `${FOUR.format(100 * p)} %`;
export const shortPercent = (p) => `${THREE.format(100 * p)} %`;

/** 10013.2 -> "10,013". */
export const times = (ratio) => (ratio < 100 ? THREE.format(ratio) : WHOLE.format(ratio));

export const count = (n) => WHOLE.format(n);

/** A change of probability: -0.0213 -> "-2.13 points" (of a percent). */
export const points = (change) => `${change > 0 ? "+" : ""}${THREE.format(100 * change)} points`;

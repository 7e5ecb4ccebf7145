// Numbers in words. A number and its unit stay on one line.

const JOINED = "\u00a0";
const THREE = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const [THREE_EVEN, FOUR_EVEN] = [3, 4].map(
  (n) => new Intl.NumberFormat("en", { minimumSignificantDigits: n, maximumSignificantDigits: n }),
);
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 10500000 -> "10.5 MB". */
export function bytes(n) {
  const units = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [0, "bytes"]];
  const [size, unit] = units.find(([least]) => n >= least);
  return `${THREE.format(n / (size || 1))}${JOINED}${unit}`;
}

/** 8400 seconds -> "2.33 hours". */
export const duration = (seconds) =>
  seconds >= 172800 ? `${THREE.format(seconds / 86400)}${JOINED}days`
  : seconds >= 7200 ? `${THREE.format(seconds / 3600)}${JOINED}hours`
  : seconds >= 120 ? `${THREE.format(seconds / 60)}${JOINED}minutes`
  : seconds >= 1 ? `${THREE.format(seconds)}${JOINED}seconds`
  : milliseconds(1000 * seconds);

export const milliseconds = (ms) => `${THREE.format(ms)}${JOINED}ms`;

/** 0.23412 -> "23.41 %", and shorter "23.4 %"; zeros at the end stay, so that a column of them is even. */
export const percent = (p) => `${FOUR_EVEN.format(100 * p)}${JOINED}%`;
export const shortPercent = (p) => `${THREE_EVEN.format(100 * p)}${JOINED}%`;

/** 10013.2 -> "10,013". */
export const times = (ratio) => (ratio < 100 ? THREE.format(ratio) : WHOLE.format(ratio));

export const count = (n) => WHOLE.format(n);

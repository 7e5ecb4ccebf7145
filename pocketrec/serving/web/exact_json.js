// JSON whose integers keep every digit: ids reach 2^62, a JavaScript number is exact to 2^53 only.

// Strings are matched, too, so that digits inside them stay as they are.
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const LONG_INTEGER = /^-?\d{16,}$/;

/** What `text` says; integers of 16 digits and more come back as strings of their digits. */
export function parse(text) {
  return JSON.parse(text.replace(STRING_OR_NUMBER, (found) => (LONG_INTEGER.test(found) ? `"${found}"` : found)));
}

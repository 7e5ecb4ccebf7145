// SHA-256 (FIPS 180-4). The browser's own, crypto.subtle, exists on https and localhost only; a phone that opens
// this page over plain http on a home network has none.

const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((prime) => n % prime)) PRIMES.push(n);

const fraction32 = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32) | 0;
const ROUND_CONSTANTS = PRIMES.map((prime) => fraction32(Math.cbrt(prime)));
const START = PRIMES.slice(0, 8).map((prime) => fraction32(Math.sqrt(prime)));

const rotate = (x, bits) => (x >>> bits) | (x << (32 - bits));

/** The message, a one bit, zeros, and its length in bits: whole blocks of 64 bytes. */
function padded(message) {
  const blocks = new Uint8Array(Math.ceil((message.length + 9) / 64) * 64);
  blocks.set(message);
  blocks[message.length] = 0x80;
  new DataView(blocks.buffer).setBigUint64(blocks.length - 8, BigInt(message.length) * 8n);
  return new DataView(blocks.buffer);
}

/** The 64 words that a block at `start` is spread over. */
function schedule(view, start) {
  const words = new Int32Array(64);
  for (let i = 0; i < 16; i++) words[i] = view.getInt32(start + 4 * i);
  for (let i = 16; i < 64; i++) {
    const [early, late] = [words[i - 15], words[i - 2]];
    const small0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
    const small1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
    words[i] = words[i - 16] + small0 + words[i - 7] + small1;
  }
  return words;
}

function compress(state, words) {
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i++) {
    const big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const one = (h + big1 + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[i] + words[i]) | 0;
    const big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const two = (big0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (state[i] + word) | 0);
}

/** The digest of a Uint8Array: eight 32-bit words, as signed integers. */
export function sha256(message) {
  const view = padded(message);
  let state = START;
  for (let start = 0; start < view.byteLength; start += 64) state = compress(state, schedule(view, start));
  return state;
}

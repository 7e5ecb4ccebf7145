// What is typed into a field -> what the model reads. The rules are those of `pocketrec prepare`, bit for bit.
//
// A value is {number, json, blank}: `number` for the model here (a float for a dense feature, a BigInt id for a
// categorical one), `json` for the server, written out.

import { sha256 } from "./sha256.js";

const ID_LIMIT = 1n << 62n;
const FLOAT32_MAX = 2 ** 128 - 2 ** 104; // the model reads float32
const HEX = /^[0-9a-f]{1,8}$/i;
const INTEGER = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

const utf8 = new TextEncoder();

/** A value that breaks the rule of its kind; the message is that rule. */
export class Refused extends Error {}

/** The id of a text: the first 62 bits of SHA-256 over its UTF-8 bytes. */
export function textId(text) {
  const [high, low] = sha256(utf8.encode(text));
  return ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)) >> 2n;
}

function dense(text) {
  const number = Number(text);
  if (!NUMBER.test(text) || Math.abs(number) > FLOAT32_MAX) throw new Refused("a finite number, or blank");
  return { number, json: JSON.stringify(number), blank: false };
}

function hex(text) {
  if (!HEX.test(text)) throw new Refused("at most 8 hex digits, or blank");
  return { number: BigInt(`0x${text}`), json: JSON.stringify(text), blank: false };
}

function integer(text) {
  const number = INTEGER.test(text) ? BigInt(text.replace("+", "")) : -1n;
  if (number < 0n || number >= ID_LIMIT) throw new Refused("an integer from 0 to below 2^62, or blank");
  return { number, json: JSON.stringify(text), blank: false };
}

function text(typed) {
  return { number: textId(typed), json: JSON.stringify(typed), blank: false };
}

const READERS = { dense, hex, integer, text };

/** The value of an empty field. */
export function blank(kind) {
  return { number: kind === "dense" ? NaN : 0n, json: "null", blank: true };
}

/** The value of a field of this kind in which `typed` stands. Throws Refused. */
export function read(kind, typed) {
  return typed === "" ? blank(kind) : READERS[kind](typed);
}

/** The value that stands for a raw id whose text is not known any more. */
export function fromId(digits) {
  return { number: BigInt(digits), json: `{"id": ${digits}}`, blank: digits === "0" };
}

/** The value of what files and examples hold: a number, a text, null, or {id: digits}. Throws Refused. */
export function fromRaw(kind, raw) {
  return raw !== null && typeof raw === "object" ? fromId(String(raw.id)) : read(kind, String(raw ?? ""));
}

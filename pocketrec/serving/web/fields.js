// One field a feature: its label, its input, what is wrong with it, and beside it the score without it.

import { byId, element } from "./dom.js";
import { Refused, blank, fromId, read } from "./values.js";

const KEYBOARDS = { dense: "decimal", hex: "text", integer: "numeric", text: "text" };
const KINDS = { dense: "number", hex: "hex digits", integer: "integer", text: "text" };

/** A field; `value()` is what stands in it. */
export class Field {
  #id = null; // the digits of a raw id whose text is not known; typing replaces it

  constructor({ name, kind }, number) {
    Object.assign(this, { name, kind });
    this.input = element("input", {
      id: `field-${number}`, type: "text", placeholder: "blank", autocomplete: "off", spellcheck: false,
      inputMode: KEYBOARDS[kind],
      attributes: {
        autocapitalize: "off", autocorrect: "off", "aria-describedby": `error-${number} without-${number}`,
      },
    });
    this.error = element("p", { id: `error-${number}`, className: "error", hidden: true });
    this.bar = element("span", { className: "change" });
    this.without = element("span", { id: `without-${number}`, className: "without" });
    this.box = element(
      "div", { className: "feature" },
      element("label", { htmlFor: this.input.id }, name, " ", element("small", {}, KINDS[kind])),
      this.input,
      element("span", { className: "bar", attributes: { "aria-hidden": "true" } }, this.bar),
      this.without,
      this.error,
    );
    this.input.addEventListener("input", () => (this.#id = null));
    this.input.addEventListener("focus", () => this.#id !== null && this.input.select());
  }

  /** Puts a raw value as files hold it: a number, a text, null, or {id} for a text that is not known any more. */
  put(raw) {
    this.#id = raw !== null && typeof raw === "object" ? String(raw.id) : null;
    this.input.value = this.#id !== null ? `id ${this.#id}` : String(raw ?? "");
  }

  /** The value of this field, or null where it breaks the rule; then the rule stands under it. */
  value() {
    try {
      const value = this.#id !== null ? fromId(this.#id) : read(this.kind, this.input.value);
      this.#tell("");
      return value;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#tell(`${this.name} is ${error.message}`);
      return null;
    }
  }

  blank() {
    return blank(this.kind);
  }

  #tell(rule) {
    this.error.textContent = rule;
    this.error.hidden = !rule;
    this.input.setAttribute("aria-invalid", String(Boolean(rule)));
  }
}

/** The recipe's features as the graph takes them: dense ones first. */
export function features(recipe) {
  const dense = recipe.inputs.dense.map((name) => ({ name, kind: "dense" }));
  return [...dense, ...recipe.inputs.categorical];
}

/** Makes the fields and puts them on the page. */
export function showFields(recipe) {
  const fields = features(recipe).map((feature, number) => new Field(feature, number));
  byId("fields").replaceChildren(...fields.map((field) => field.box));
  return fields;
}

// Shorthands for the document.

export const byId = (id) => document.getElementById(id);

/** element("p", {className: "soft"}, "text", other) with attributes of other kinds under `attributes`. */
export function element(tag, { attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Says `text` in `where`, hidden when there is nothing to say. */
export function say(where, text) {
  where.textContent = text;
  where.hidden = !text;
}

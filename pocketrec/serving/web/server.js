// Talking to the server this page came from. Addresses are relative: the page works below any path of a proxy.

import { byId, element, say } from "./dom.js";
import { parse } from "./exact_json.js";

let token = "";

/** The server wants its bearer token, or another than this one. */
export class Unauthorized extends Error {}

/** Kept in this page only: gone when it is closed. */
export function useToken(typed) {
  token = typed;
}

// A browser follows a link without the token: what it leads to is fetched with it, and saved as a file.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-file]");
  if (!token || !link) return;
  event.preventDefault();
  say(byId("link-problem"), "");
  save(link).catch((error) => say(byId("link-problem"), `${link.dataset.file} is not saved: ${error.message}.`));
});

async function save(link) {
  const content = await (await ask(link.getAttribute("href"))).blob();
  const href = URL.createObjectURL(content);
  element("a", { href, download: link.dataset.file }).click();
  setTimeout(() => URL.revokeObjectURL(href));
}

async function ask(address, options = {}) {
  const authorization = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(address, { ...options, headers: { ...options.headers, ...authorization } });
  if (answer.ok) return answer;
  const told = messageOf(await answer.text());
  throw answer.status === 401 ? new Unauthorized(told) : new Error(`the server says ${answer.status}: ${told}`);
}

function messageOf(body) {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return body.slice(0, 300);
  }
}

/** The recipe of the model served, and `part(name)`, which fetches another part of that very model. */
export async function askRecipe() {
  const answer = await ask("artifact/recipe.json", { cache: "no-cache" });
  // The ETag begins with the artifact's SHA-256: pinned by it, a part is kept for ever, and never another model's.
  const sha256 = answer.headers.get("ETag")?.match(/[0-9a-f]{64}/)?.[0];
  const pin = sha256 ? `?v=${sha256}` : "";
  const part = async (name) => new Uint8Array(await (await ask(`artifact/${name}${pin}`)).arrayBuffer());
  return { recipe: parse(await answer.text()), part };
}

/** POST /score: {scores, model}. `names` and each row's values (values.js) go together. */
export async function askScores(names, rows) {
  const object = (row) => `{${row.map((value, i) => `${JSON.stringify(names[i])}: ${value.json}`).join(", ")}}`;
  const body = `{"rows": [${rows.map(object).join(", ")}]}`;
  return (await ask("score", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json();
}

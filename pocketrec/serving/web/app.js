// The page: asks for the recipe, shows it, loads the model, and scores what stands in the fields.

import { showAbout } from "./about.js";
import { compareWith } from "./compare.js";
import { byId } from "./dom.js";
import { NoRuntime, browserEngine, serverEngine } from "./engine.js";
import { checkExamples, showExamples } from "./examples.js";
import { showFields } from "./fields.js";
import { Live } from "./live.js";
import { Unauthorized, askRecipe, useToken } from "./server.js";
import { showSize } from "./size.js";
import { bytes, duration } from "./words.js";

async function start() {
  const { recipe, part } = await askRecipe();
  document.title = `${recipe.name}: pocketrec`;
  byId("name").textContent = recipe.name;
  tell(`Loading the model, ${bytes(recipe.files["model.safetensors"].bytes)}, and onnxruntime-web, which runs it…`);
  showSize(recipe);
  showAbout(recipe);
  const fields = showFields(recipe);
  const names = fields.map((field) => field.name);
  const live = new Live(fields);
  compareWith(recipe, names, live);
  showExamples(recipe, fields, () => live.edited());
  byId("fields").addEventListener("input", () => live.edited());
  byId("content").hidden = false;
  await live.useEngine(await engineFor(recipe, names, part));
}

/** The model here, or the server where that cannot be; says which. */
async function engineFor(recipe, names, part) {
  const began = performance.now();
  try {
    const engine = await browserEngine(recipe, part);
    const checked = await checkExamples(recipe, engine);
    const took = duration((performance.now() - began) / 1000);
    const ready = `This model, ${bytes(engine.bytes)}, runs in your browser (ready in ${took}).`;
    tell([ready, checked, "What you type stays here until you ask the server."].filter(Boolean).join(" "));
    return engine;
  } catch (error) {
    tell(`The server scores, not this browser: ${why(error)}`, "warning");
    return serverEngine(names);
  }
}

function why(error) {
  if (error instanceof NoRuntime) {
    return "it has no copy of onnxruntime-web. Run `make web` in pocketrec's source, install that, and reload.";
  }
  return `the model does not run here (${error.message}).`;
}

function tell(text, className = "") {
  Object.assign(byId("state"), { textContent: text, className });
}

function begin() {
  start().catch((error) => {
    const asksForToken = error instanceof Unauthorized;
    byId("token-form").hidden = !asksForToken;
    if (!asksForToken) tell(`This page could not start: ${error.message}.`, "warning");
    else if (byId("token").value) tell("That is not the server's token.", "warning");
    else tell("This server asks for a token before it tells of its model.");
  });
}

byId("fields").addEventListener("submit", (event) => event.preventDefault());
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  byId("token-form").hidden = true;
  begin();
});
begin();

// SPDX-License-Identifier: Apache-2.0
// The models of the service: what each was trained for, whether it is loaded, and which names point to it.

import { make } from "./dom.js";
import * as service from "./service.js";

const STATES = { open: "loaded", ready: "ready", unloaded: "unloaded", damaged: "cannot be used" };
const LIGHTS = { open: "good", ready: "good", unloaded: "", damaged: "bad" };

const rate = (value) => `${(100 * value).toFixed(2)} %`;

/** Character error rates of a model's own evaluation, wherever they stand in it. */
function rates(evaluation, path = []) {
  return Object.entries(evaluation ?? {}).flatMap(([name, value]) => {
    if (name === "cer" && typeof value === "number") return [[path.join(" "), value]];
    return value && typeof value === "object" && !Array.isArray(value) ? rates(value, [...path, name]) : [];
  });
}

/** A button that asks the service, waits, and says what went wrong. */
function action(label, said, act, done, place) {
  const button = make("button", { type: "button", className: "quiet", label: said }, label);
  button.addEventListener("click", async () => {
    button.disabled = true;
    place.textContent = `${label} …`;
    try {
      await act();
      place.textContent = "";
      await done();
    } catch (error) {
      place.textContent = error.message;
      button.disabled = false;
    }
  });
  return button;
}

function row(model, changed) {
  const { name, version, aliases = [], state = model.error ? "damaged" : "ready" } = model;
  const own = `${name}/${version}`;
  const place = make("p", { className: "fault", role: "status" }, model.error?.detail ?? "");
  const others = aliases.filter((alias) => alias !== "default");
  const facts = rates(model.evaluation)
    .slice(0, 3)
    .map(([set, value]) => `${rate(value)} CER${set ? ` on ${set}` : ""}`);
  const names = [
    ...(model.default ? [make("span", { className: "tag" }, "default")] : []),
    ...others.map((alias) => {
      const forget = action("×", `Take the alias ${alias} away`, () => service.forget(alias), changed, place);
      return make("span", { className: "tag" }, alias, forget);
    }),
  ];
  const actions = [
    action(state === "open" ? "Reload" : "Load", `Load ${own}`, () => service.load(name, version), changed, place),
  ];
  if (["open", "ready"].includes(state) && !model.default) {
    actions.push(
      action("Unload", `Unload ${own}`, () => service.unload(name, version), changed, place),
      action("Make default", `Make ${own} the default`, () => service.point("default", own), changed, place),
    );
  }
  if (state !== "damaged") actions.push(aliasForm(own, changed, place));
  const light = make("span", { className: `light ${LIGHTS[state]}` });
  return make(
    "li",
    {},
    make("div", { className: "head" }, make("h3", {}, own), ...names, make("p", { className: "facts" }, light, STATES[state])),
    make("p", {}, model.description ?? ""),
    make("p", { className: "hint" }, [model.license, `${model.characters?.length ?? 0} characters`, ...facts].filter(Boolean).join(" · ")),
    ...(model.sha256 ? [make("p", { className: "hint" }, make("code", {}, model.sha256))] : []),
    make("div", { className: "tools" }, ...actions),
    place,
  );
}

/** Another name for a model: a button that turns into a field. */
function aliasForm(own, changed, place) {
  const button = make("button", { type: "button", className: "quiet", label: `Give ${own} another name` }, "Add alias");
  button.addEventListener("click", () => {
    const field = make("input", { className: "alias", placeholder: "alias", spellcheck: false, autocomplete: "off" });
    field.setAttribute("aria-label", `Another name for ${own}`);
    field.addEventListener("keydown", async ({ key }) => {
      if (key === "Escape") field.replaceWith(button);
      if (key !== "Enter" || !field.value.trim()) return;
      try {
        await service.point(field.value.trim(), own);
        await changed();
      } catch (error) {
        place.textContent = error.message;
      }
    });
    field.addEventListener("blur", () => field.isConnected && !field.value && field.replaceWith(button));
    button.replaceWith(field);
    field.focus();
  });
  return button;
}

/** Fill `place` with the models; `changed()` after one was loaded, unloaded or pointed to. */
export async function showModels(place, changed) {
  const { models } = await service.models();
  place.replaceChildren(make("ul", { className: "models" }, ...models.map((model) => row(model, changed))));
}

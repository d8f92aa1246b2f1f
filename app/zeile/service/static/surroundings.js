// SPDX-License-Identifier: Apache-2.0
// What surrounds the work: the views, light and dark, the state in the header, the dialog for a key.

import { at } from "./dom.js";

const THEME = "zeile-theme";
const NAMES = ["read", "measure", "service"];

/** Show the view that the address names; `changed(name)` whenever it does. */
export function views(changed) {
  function show() {
    const asked = location.hash.slice(1);
    if (location.hash && !NAMES.includes(asked)) return; // a place within the view
    const name = asked || "read";
    for (const each of NAMES) {
      at(`view-${each}`).hidden = each !== name;
      const link = document.querySelector(`nav a[href="#${each}"]`);
      if (each === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    changed(name);
  }
  addEventListener("hashchange", show);
  show();
}

/** Light or dark: as the system has it, until the button says otherwise. */
export function coloured() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = localStorage.getItem(THEME);
  if (kept) root.dataset.theme = kept;
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const tell = () => dispatchEvent(new CustomEvent("zeile-colours"));
  at("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem(THEME, root.dataset.theme);
    tell();
  });
  system.addEventListener("change", tell);
}

/** The state in the header: "good", "warn" or "bad", and a sentence. */
export function shown(kind, text) {
  at("state").querySelector(".light").className = `light ${kind}`;
  const said = at("state").querySelector(".said");
  if (said.textContent !== text) said.textContent = text; // a screen reader speaks when it changes
}

/** Ask for a key; resolves to it, or to "" if there is none. */
export function asked(why) {
  const dialog = at("key");
  at("key-why").textContent = why;
  at("key-text").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue ? at("key-text").value.trim() : ""), {
      once: true,
    });
  });
}

// SPDX-License-Identifier: Apache-2.0
// Elements, made briefly. Texts go in as text alone, never as markup.

export const at = (id) => document.getElementById(id);

/** A copy of the first element of a template. */
export const stamped = (id) => at(id).content.firstElementChild.cloneNode(true);

/** An element; `properties` are assigned, `children` are elements or texts. */
export function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  const { role, label, ...rest } = properties;
  if (role) made.setAttribute("role", role);
  if (label) made.setAttribute("aria-label", label);
  Object.assign(made, rest);
  made.append(...children);
  return made;
}

/** Terms and what they are, as the children of a <dl>; what is undefined or null is left out. */
export function pairs(entries) {
  return entries
    .filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value)));
}

/** A table with its caption; columns whose name is in `numbers` stand flush right. */
export function table(caption, head, rows, numbers = []) {
  const kind = (column) => (numbers.includes(head[column]) ? "number" : "");
  const top = head.map((name, column) => make("th", { scope: "col", className: kind(column) }, name));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((cell, column) => make("td", { className: kind(column) }, cell ?? "–"))),
  );
  return make(
    "table",
    {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...top)),
    make("tbody", {}, ...body),
  );
}

/** Put a text on the clipboard and say so on the button for a moment. */
export async function copy(text, button) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

/** Let the browser save a file. */
export function save(name, data, type) {
  const url = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name without its last ending. */
export const stem = (name) => name.replace(/\.[^.]*$/, "");

/** A text in characters as people count them. */
export function graphemes(text) {
  return [...new Intl.Segmenter().segment(text)].map(({ segment }) => segment);
}

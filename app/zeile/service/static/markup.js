// SPDX-License-Identifier: Apache-2.0
// Corrections of lines put into the hOCR, ALTO or PAGE that the service wrote. A corrected line gets its words anew,
// each where its characters stand, and says that it was corrected; everything else stays.

/** Words of a line: [{text, left, right}] in columns of the line. */
function words(characters) {
  const found = [];
  let word = null;
  for (const { text, left, right } of characters) {
    if (!text.trim()) word = null;
    else if (word) Object.assign(word, { text: word.text + text, right: Math.max(word.right, right) });
    else found.push((word = { text, left, right }));
  }
  return found;
}

/** Children of an element by their names without prefix. */
const named = (element, ...names) => [...element.children].filter((child) => names.includes(child.localName));
const all = (root, name) => [...root.getElementsByTagNameNS("*", name)];

function added(parent, name, attributes = {}, text = "") {
  const made = parent.ownerDocument.createElementNS(parent.namespaceURI, name);
  if (parent.prefix) made.prefix = parent.prefix;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

function alto(line, view) {
  const [x, y, width, height] = ["HPOS", "VPOS", "WIDTH", "HEIGHT"].map((name) => Number(line.getAttribute(name)));
  const place = (left, right) => ({
    HPOS: String(Math.round(x + (width * left) / view.columns)),
    VPOS: String(y),
    WIDTH: String(Math.round((width * (right - left)) / view.columns)),
    HEIGHT: String(height),
  });
  for (const old of named(line, "String", "SP", "HYP")) old.remove();
  const found = words(view.characters);
  found.forEach((word, index) => {
    const before = found[index - 1];
    if (before) added(line, "SP", place(Math.min(before.right, word.left), word.left));
    added(line, "String", { CONTENT: word.text, ...place(word.left, word.right) });
  });
  if (!found.length) added(line, "String", { CONTENT: "", ...place(0, view.columns) });
  line.setAttribute("CS", "true"); // the schema's mark of a line corrected by hand
}

function page(line, view) {
  for (const old of named(line, "Word", "TextEquiv")) old.remove();
  const text = added(line, "TextEquiv", { comments: "corrected by hand" });
  added(text, "Unicode", {}, view.text);
  named(line, "Coords", "Baseline").at(-1).after(text);
}

/** The text of a PAGE region, which repeats its lines'. */
function regionText(region) {
  const own = named(region, "TextEquiv")[0];
  const lines = named(region, "TextLine").map((line) => all(line, "Unicode").at(-1)?.textContent ?? "");
  if (own) all(own, "Unicode")[0].textContent = lines.join("\n");
}

function hocr(line, view) {
  const [left, top, right, bottom] = /bbox (\d+) (\d+) (\d+) (\d+)/.exec(line.getAttribute("title")).slice(1).map(Number);
  const across = (column) => Math.round(left + ((right - left) * column) / view.columns);
  line.replaceChildren();
  line.setAttribute("title", line.getAttribute("title").replace(/; x_conf [\d.]+/, ""));
  words(view.characters).forEach((word, index) => {
    if (index) line.append(" ");
    const title = `bbox ${across(word.left)} ${top} ${across(word.right)} ${bottom}`;
    added(line, "span", { class: "ocrx_word", title }, word.text);
  });
}

function noted(format, tree, count) {
  const what = `corrected by hand: ${count} ${count === 1 ? "line" : "lines"}`;
  if (format === "alto") {
    const last = all(tree, "Processing").at(-1);
    if (!last) return;
    const step = added(last.parentNode, last.tagName, { ID: "by_hand" });
    added(step, "processingCategory", {}, "contentModification");
    added(step, "processingStepDescription", {}, what);
    last.after(step);
  } else if (format === "page") {
    const last = all(tree, "MetadataItem").at(-1);
    const facts = { type: "processingStep", name: "recognition/post-correction", value: what };
    last?.after(added(last.parentNode, last.tagName, facts));
  } else added(all(tree, "head")[0], "meta", { name: "zeile-corrected", content: what });
}

const WRITERS = { alto, page, hocr };

/** The document with the corrections of its lines' views; as it is where there are none. */
export function withCorrections(format, written, views) {
  if (!views.some((view) => view.edited)) return written;
  const tree = new DOMParser().parseFromString(written, "application/xml");
  const lines = format === "hocr" ? [...tree.querySelectorAll(".ocr_line")] : all(tree, "TextLine");
  if (tree.querySelector("parsererror") || lines.length !== views.length) {
    throw new Error(`the ${format} document has ${lines.length} lines, the page ${views.length}; read it again`);
  }
  views.forEach((view, index) => {
    if (view.edited) WRITERS[format](lines[index], view);
  });
  if (format === "page") all(tree, "TextRegion").forEach(regionText);
  noted(format, tree, views.filter((view) => view.edited).length);
  const text = new XMLSerializer().serializeToString(tree);
  return text.startsWith("<?xml") || format === "hocr" ? text : `<?xml version="1.0" encoding="UTF-8"?>\n${text}`;
}

// SPDX-License-Identifier: Apache-2.0
// What was read and corrected, as files. Markup is written by the service, which knows its provenance; corrections
// are put into it here.

import { packed } from "./archive.js";
import { save, stem } from "./dom.js";
import { withCorrections } from "./markup.js";
import * as service from "./service.js";
import { Sheet } from "./sheet.js";

const MARKUP = {
  hocr: { ending: ".hocr", type: "text/html" },
  alto: { ending: ".alto.xml", type: "application/xml" },
  page: { ending: ".page.xml", type: "application/xml" },
};
const ESCAPES = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };

const linesOf = (entry) => (entry instanceof Sheet ? entry.views : [entry]);
const read = (entry) => !entry.card.classList.contains("failed");

/** Names that differ, by a number where they would not. */
function distinct(names) {
  const seen = new Map();
  return names.map((name) => {
    const times = seen.get(name) ?? 0;
    seen.set(name, times + 1);
    return times ? `${name}-${times + 1}` : name;
  });
}

function text(entries) {
  return entries.flatMap(linesOf).map((view) => `${view.text ?? ""}\n`).join("");
}

function tsv(entries) {
  const whole = entries.some((entry) => entry instanceof Sheet);
  const head = ["file", ...(whole ? ["line", "left", "top", "right", "bottom"] : []), "confidence", "text", "error"];
  const rows = entries.flatMap((entry) =>
    linesOf(entry).map((view, index) => {
      const box = entry instanceof Sheet ? [index + 1, ...view.read.box] : ["", "", "", "", ""];
      const sure = view.edited ? "" : (view.confidence?.toFixed(4) ?? "");
      return [entry.name, ...(whole ? box : []), sure, view.text ?? "", view.error];
    }),
  );
  const cell = (value) => String(value).replaceAll(/[\\\t\n\r]/g, (found) => ESCAPES[found]);
  return [head, ...rows].map((row) => `${row.map(cell).join("\t")}\n`).join("");
}

function json(entries) {
  const line = (view) => ({ ...view.read, ...(view.edited && { corrected: view.text }) });
  const lines = (entry) => linesOf(entry).map((view) => (view.read ? line(view) : { error: view.error }));
  const made = entries.map((entry) => ({ file: entry.name, lines: lines(entry), provenance: entry.origin?.provenance }));
  return `${JSON.stringify(made, null, 1)}\n`;
}

async function markup(format, entry, options) {
  const { alternatives, ...rest } = options;
  const asked = { ...rest, format };
  const written =
    entry instanceof Sheet
      ? await service.pageAs(entry.file, entry.regions, asked)
      : await service.lineAs(entry.file, asked);
  return withCorrections(format, written, linesOf(entry));
}

/** Images of lines with their texts, as `zeile bench`, training and this page's measuring take them. */
async function truth(entries) {
  const files = [];
  for (const entry of entries) {
    const own = linesOf(entry).filter((view) => view.text);
    for (const [index, view] of own.entries()) {
      const page = entry instanceof Sheet;
      const canvas = view.part(".picture canvas");
      if (page && !canvas) continue; // the browser has no picture of the page
      const image = page ? await new Promise((done) => canvas.toBlob(done)) : view.file;
      const ending = page ? ".png" : (/\.[^.]*$/.exec(view.file.name)?.[0] ?? ".png");
      const name = page ? `${stem(entry.name)}_${String(index + 1).padStart(3, "0")}` : stem(view.file.name);
      files.push({ name, ending, image, text: view.text });
    }
  }
  const names = distinct(files.map(({ name }) => name));
  return packed(
    files.flatMap(({ ending, image, text: said }, index) => [
      [`${names[index]}${ending}`, image],
      [`${names[index]}.gt.txt`, `${said}\n`],
    ]),
  );
}

/** Save lines and pages in a format. */
export async function exported(format, entries, options) {
  const good = entries.filter(read);
  if (format === "text") save("lines.txt", text(entries), "text/plain");
  else if (format === "tsv") save("lines.tsv", tsv(entries), "text/tab-separated-values");
  else if (format === "json") save("lines.json", json(entries), "application/json");
  else if (format === "truth") save("lines.zip", await truth(good), "application/zip");
  else {
    const { ending, type } = MARKUP[format];
    const written = [];
    for (const entry of good) written.push(await markup(format, entry, options));
    const names = distinct(good.map(({ name }) => stem(name))).map((name) => `${name}${ending}`);
    if (good.length === 1) save(names[0], written[0], type);
    else save(`lines${ending.replace(/\.\w+$/, "")}.zip`, await packed(names.map((name, index) => [name, written[index]])));
  }
}

// SPDX-License-Identifier: Apache-2.0
// The page: files come in by drop, paste or choice, are read a few at a time, and stay until they are cleared.

import { at, copy } from "./dom.js";
import { exported } from "./exports.js";
import { LineView } from "./line.js";
import { measureAll, resume } from "./measuring.js";
import * as operations from "./operations.js";
import { showRecord } from "./record.js";
import * as service from "./service.js";
import { Sheet } from "./sheet.js";
import { sorted } from "./sorting.js";
import { asked, coloured, shown, views } from "./surroundings.js";

const AT_ONCE = 4; // requests in flight; the service reads what waits in common batches
const ALTERNATIVES = 5;

const entries = []; // lines and pages, in the order the files came
let waiting = []; // entries not yet asked for
let running = 0;
let began = 0; // when the current burst of reading began, ms
let finished = 0; // lines of that burst
let round = new AbortController(); // aborted when the options change or the page is cleared
let known = []; // models that can be used, in the order of the chooser

function chosen() {
  const beam = at("beam").value;
  const search = beam === "0" ? {} : { beam, alternatives: ALTERNATIVES };
  return { model: at("model").value, reading: at("reading").value, ...search };
}

async function start() {
  at("origin").textContent = location.origin;
  coloured();
  service.whenKeyIsNeeded(asked);
  service.whenBusy((seconds) => {
    at("notice").hidden = !seconds;
    at("notice").textContent = `The service is busy; asking again in ${seconds} s.`;
  });
  views((name) => {
    operations.watch(name === "service");
    if (name === "measure") resume();
  });
  operations.whenModelsChange(listModels);
  try {
    await listModels();
    await operations.state();
  } catch (error) {
    shown("bad", error.message);
  }
}

async function listModels() {
  const before = at("model").value;
  const { models } = await service.models();
  known = models.filter(({ error, state }) => !error && state !== "unloaded");
  const options = known.map(({ name, version, default: first }) => {
    const label = `${name}/${version}`;
    return new Option(label, first ? "" : label, first, first); // the default goes by no name
  });
  at("model").replaceChildren(...options);
  if (options.some(({ value }) => value === before)) at("model").value = before;
  fillReadings();
}

function fillReadings() {
  const model = known[at("model").selectedIndex];
  at("reading").replaceChildren(...(model?.readings ?? []).map((name) => new Option(name)));
  at("about").textContent = model?.description ?? "";
}

async function take(files) {
  const found = await sorted([...files], at("layout").value);
  if (found.notes.length) note(found.notes.join(" "));
  if (found.sets.length) {
    location.hash = "measure";
    measureAll(found.sets, chosen());
  }
  const added = [
    ...found.lines.map((file) => new LineView(file)),
    ...found.pages.map(({ image, regions }) => new Sheet(image, regions)),
  ];
  if (!added.length) return;
  if (!found.sets.length) location.hash = "read";
  entries.push(...added);
  waiting.push(...added);
  at("lines").append(...added.map(({ card }) => card));
  fill();
  next();
}

function note(text) {
  at("notice").textContent = text;
  at("notice").hidden = false;
}

function fill() {
  at("results").hidden = entries.length === 0;
  at("view-read").classList.toggle("filled", entries.length > 0);
}

function next() {
  if (running === 0 && waiting.length) burst();
  while (running < AT_ONCE && waiting.length) read(waiting.shift(), round);
  summarise();
}

function burst() {
  began = performance.now();
  finished = 0;
}

async function read(entry, mine) {
  running += 1;
  try {
    if (entry instanceof Sheet) await readPage(entry, mine.signal);
    else await readLine(entry, mine.signal);
  } catch (error) {
    if (!mine.signal.aborted) entry.fail(error.message);
  }
  running -= 1;
  if (!mine.signal.aborted) finished += linesOf(entry).length;
  next();
}

async function readLine(view, signal) {
  const { lines, provenance, time_ms } = await service.recognize(view.file, chosen(), signal);
  if (!signal.aborted) view.show(lines[0], { provenance, time_ms }, took(time_ms));
}

async function readPage(sheet, signal) {
  const page = await service.readPage(sheet.file, sheet.regions, chosen(), signal);
  if (!signal.aborted) sheet.show(page, took(page.time_ms));
}

const took = (times) => `${times.total.toFixed(1)} ms`;

const linesOf = (entry) => (entry instanceof Sheet ? entry.views : [entry]);
const allLines = () => entries.flatMap(linesOf);

function again() {
  round.abort();
  round = new AbortController();
  waiting = [...entries];
  for (const entry of entries) entry.wait();
  burst();
  next();
}

function clear() {
  round.abort();
  round = new AbortController();
  waiting = [];
  for (const entry of entries.splice(0)) entry.close();
  at("notice").hidden = true;
  fill();
  at("files").focus();
}

function summarise() {
  const open = running + waiting.length;
  const lines = allLines();
  const read = lines.filter((view) => view.text !== null);
  const failed = entries.filter(({ card }) => card.classList.contains("failed")).length;
  const edited = lines.filter((view) => view.edited).length;
  const parts = [`${read.length} of ${lines.length} ${lines.length === 1 ? "line" : "lines"} read`];
  if (failed) parts.push(`${failed} not readable`);
  if (edited) parts.push(`${edited} corrected`);
  if (!open && finished > 1) {
    parts.push(`${((1000 * finished) / (performance.now() - began)).toFixed(0)} lines a second, browser included`);
  }
  at("summary").textContent = parts.join(" · ");
  if (!open) arrange();
}

function arrange() {
  const first = at("doubtful-first").checked;
  const least = (entry) => Math.min(...linesOf(entry).map((view) => view.confidence ?? (view.text === null ? -1 : 2)));
  const order = (list) => (first ? list.toSorted((a, b) => least(a) - least(b)) : list);
  place(at("lines"), order(entries));
  for (const entry of entries) if (entry instanceof Sheet) place(entry.part(".page-lines"), order(entry.views));
}

function place(list, ordered) {
  const cards = ordered.map(({ card }) => card);
  if (cards.some((card, index) => list.children[index] !== card)) list.append(...cards);
}

/** Go to the field of the next line, or of the one before. */
function editNext({ target, detail: step }) {
  const cards = [...at("lines").querySelectorAll(".line:not(.failed)")];
  cards[cards.indexOf(target) + step]?.querySelector(".edit").click();
}

async function exportAs(format, button) {
  button.closest("details").open = false;
  try {
    await exported(format, entries, chosen());
  } catch (error) {
    note(`Nothing was exported: ${error.message}`);
  }
}

async function sample(button) {
  const name = button.dataset.sample;
  const image = await (await fetch(`static/samples/${name}.png`)).blob();
  const fitting = known.find((model) => model.name === (name === "fraktur" ? "fraktur" : "latin-print"));
  if (fitting) {
    at("model").value = fitting.default ? "" : `${fitting.name}/${fitting.version}`;
    fillReadings();
  }
  take([new File([image], `${name}.png`, { type: "image/png" })]);
}

for (const chooser of ["files", "sets"]) {
  at(chooser).addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = ""; // so that the same file can be chosen again
    if (chooser === "files") take(files);
    else measureAll(files.every(({ name }) => /\.zip$/i.test(name)) ? files.map((zip) => [zip]) : [files], chosen());
  });
}
at("model").addEventListener("change", () => {
  fillReadings();
  again();
});
for (const option of ["reading", "beam"]) at(option).addEventListener("change", again);
for (const form of ["options", "measuring"]) at(form).addEventListener("submit", (event) => event.preventDefault());
at("doubtful-first").addEventListener("change", arrange);
at("clear").addEventListener("click", clear);
at("copy-all").addEventListener("click", (event) => {
  const ordered = [...at("lines").querySelectorAll(".line")];
  const texts = allLines().toSorted((a, b) => ordered.indexOf(a.card) - ordered.indexOf(b.card));
  copy(texts.map((view) => `${view.text ?? ""}\n`).join(""), event.target);
});
at("lines").addEventListener("line-changed", summarise);
at("lines").addEventListener("line-next", editNext);
at("lines").addEventListener("line-record", ({ detail }) => showRecord(detail));
for (const button of document.querySelectorAll("[data-format]")) {
  button.addEventListener("click", () => exportAs(button.dataset.format, button));
}
for (const button of document.querySelectorAll("[data-sample]")) button.addEventListener("click", () => sample(button));
document.addEventListener("click", ({ target }) => {
  if (!target.closest("#export")) at("export").open = false;
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || !at("export").open) return;
  at("export").open = false;
  at("export").querySelector("summary").focus();
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  take(event.dataTransfer.files);
});

start();

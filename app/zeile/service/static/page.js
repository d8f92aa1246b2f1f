// SPDX-License-Identifier: Apache-2.0
// The page: files come in by drop, paste or choice, are read a few at a time, and stay until they are cleared.

import { LineView, copy } from "./line.js";
import { showMeasurement } from "./measurement.js";
import * as service from "./service.js";

const AT_ONCE = 4; // requests in flight; the service reads what waits in common batches

const at = (id) => document.getElementById(id);
const views = []; // in the order the files came
let waiting = []; // views not yet asked for
let running = 0;
let began = 0; // when the current burst of reading began, ms
let finished = 0; // lines of that burst
let round = new AbortController(); // aborted when the options change or the page is cleared
let known = []; // models that can be used, in the order of the chooser

const chosen = () => ({ model: at("model").value, reading: at("reading").value });

async function start() {
  at("origin").textContent = location.origin;
  try {
    known = (await service.models()).filter((model) => !model.error);
    fillModels();
    const { version, engine } = await service.health();
    const facts = Object.entries(engine).map(([name, value]) => (name === "engine" ? value : `${name} ${value}`));
    at("service").textContent = `version ${version} · engine ${facts.join(", ")}`;
  } catch (error) {
    at("service").textContent = error.message;
    at("service").classList.add("fault");
  }
}

function fillModels() {
  const options = known.map(({ name, version, default: chosen }) => {
    const label = `${name}/${version}`;
    return new Option(label, chosen ? "" : label, chosen, chosen); // the default goes by no name
  });
  at("model").replaceChildren(...options);
  fillReadings();
}

function fillReadings() {
  const model = known[at("model").selectedIndex];
  at("reading").replaceChildren(...(model?.readings ?? []).map((name) => new Option(name)));
  at("about").textContent = model?.description ?? "";
}

function take(files) {
  const zips = [...files].filter((file) => /\.zip$/i.test(file.name));
  const others = [...files].filter((file) => !zips.includes(file));
  const labelled = others.some((file) => /\.gt\.txt$/i.test(file.name));
  const sets = [...zips.map((zip) => [zip]), ...(labelled ? [others] : [])];
  if (sets.length) measureAll(sets);
  for (const file of labelled ? [] : others) {
    const view = new LineView(file);
    views.push(view);
    waiting.push(view);
    at("lines").append(view.card);
  }
  at("results").hidden = views.length === 0;
  next();
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

async function read(view, mine) {
  running += 1;
  try {
    const { lines, time_ms } = await service.recognize(view.file, chosen(), mine.signal);
    if (!mine.signal.aborted) view.show(lines[0], time_ms);
  } catch (error) {
    if (!mine.signal.aborted) view.fail(error.message);
  }
  running -= 1;
  if (!mine.signal.aborted) finished += 1;
  next();
}

function again() {
  round.abort();
  round = new AbortController();
  waiting = [...views];
  for (const view of views) view.wait();
  burst();
  next();
}

function clear() {
  round.abort();
  round = new AbortController();
  waiting = [];
  for (const view of views.splice(0)) view.close();
  at("results").hidden = true;
  at("files").focus();
}

function summarise() {
  const open = running + waiting.length;
  const read = views.filter((view) => view.text !== null);
  const failed = views.filter((view) => view.card.classList.contains("failed")).length;
  const parts = [`${read.length} of ${views.length} ${views.length === 1 ? "line" : "lines"} read`];
  if (failed) parts.push(`${failed} not readable`);
  if (!open && finished > 1) {
    parts.push(`${((1000 * finished) / (performance.now() - began)).toFixed(0)} lines a second, browser included`);
  }
  at("summary").textContent = parts.join(" · ");
  if (!open) arrange();
}

function arrange() {
  const sureness = (view) => view.confidence ?? (view.text === null ? -1 : 2);
  const order = at("doubtful-first").checked ? views.toSorted((a, b) => sureness(a) - sureness(b)) : views;
  const cards = order.map((view) => view.card);
  if (cards.some((card, index) => at("lines").children[index] !== card)) at("lines").append(...cards);
}

/** Measure sets of files one after another; the last ones make room for them. */
async function measureAll(sets) {
  const cards = sets.map(() => document.createElement("article"));
  at("measured").replaceChildren(...cards);
  at("measured").hidden = false;
  for (const [index, files] of sets.entries()) {
    const name = files.length === 1 ? files[0].name : `${files.length} files`;
    const say = (text) => {
      cards[index].textContent = text;
      at("said").textContent = text;
    };
    say(`Measuring ${name} …`);
    try {
      const answer = await service.measure(files, chosen());
      say(`${name} is measured.`);
      showMeasurement(cards[index], name, answer);
    } catch (error) {
      say(`${name} cannot be measured: ${error.message}`);
    }
  }
}

at("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // so that the same file can be chosen again
});
at("model").addEventListener("change", () => {
  fillReadings();
  again();
});
at("reading").addEventListener("change", again);
at("options").addEventListener("submit", (event) => event.preventDefault());
at("doubtful-first").addEventListener("change", arrange);
at("clear").addEventListener("click", clear);
at("copy-all").addEventListener("click", (event) => {
  const lines = [...at("lines").children].map((card) => views.find((view) => view.card === card).text ?? "");
  copy(`${lines.join("\n")}\n`, event.target);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) at("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files);
});

start();

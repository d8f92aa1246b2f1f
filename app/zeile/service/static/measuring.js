// SPDX-License-Identifier: Apache-2.0
// Sets with ground truth are measured as jobs of the service, with their progress; each keeps its place on the page.

import { members } from "./archive.js";
import { at, make } from "./dom.js";
import { showMeasurement } from "./measurement.js";
import * as service from "./service.js";

const LOOK_MS = 400; // between two looks at a job
const SWEEP = "1,4,16,64";
const ENDS = ["done", "failed", "canceled"];

const LOST = ["failed", "canceled"];

let resumed = null; // the promise of it

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A card with the set's name, a bar, and a button that ends it. */
function card(name) {
  const bar = make("progress", { label: `Progress of ${name}` });
  const count = make("span", { className: "count" }, "sending …");
  const stop = make("button", { type: "button" }, "Cancel");
  const row = make("div", { className: "progress" }, bar, count, stop);
  const article = make("article", {}, make("h2", {}, name), row);
  at("measured").prepend(article);
  return { article, bar, count, stop };
}

/** Measure sets of files one after another; the newest stands first. */
export async function measureAll(sets, options) {
  const asked = { ...options, alternatives: "", sweep: at("sweep").checked ? SWEEP : "" };
  await resume(); // first, so that no job is shown twice
  const cards = sets.map((files) => card(files.length === 1 ? files[0].name : `${files.length} files`));
  for (const [index, files] of sets.entries()) {
    await follow(() => service.beginMeasuring(files, asked), cards[index], pictures(files));
  }
}

/** Show the measurements that the service still has, as after the page was closed; once. */
export const resume = () => (resumed ??= resumption());

async function resumption() {
  const had = await service.jobs().catch(() => []);
  for (const { id, created } of had.filter(({ state }) => !LOST.includes(state)).reverse()) {
    follow(() => service.job(id), card(`Measurement of ${new Date(created).toLocaleTimeString("en-GB")}`), () => undefined);
  }
}

/** Follow a job to its end and show its result. */
async function follow(begin, { article, bar, count, stop }, images) {
  const name = article.querySelector("h2").textContent;
  const say = (text) => (at("said").textContent = text);
  let job = null;
  let stopped = false;
  stop.addEventListener("click", () => {
    stopped = true;
    stop.disabled = true;
    if (job) service.cancel(job.id).catch(() => {});
  });
  say(`Measuring ${name}.`);
  try {
    job = await begin();
    if (stopped) await service.cancel(job.id);
    while (!ENDS.includes(job.state)) {
      show(job, bar, count);
      await pause(LOOK_MS);
      job = await service.job(job.id);
    }
    if (job.state !== "done") throw new Error(job.error?.detail ?? `the measurement was ${job.state}`);
    say(`${name} is measured.`);
    showMeasurement(article, name, job.result, await images);
  } catch (error) {
    const text = stopped ? `${name} was cancelled.` : `${name} cannot be measured: ${error.message}`;
    say(text);
    article.querySelector(".progress").replaceChildren(make("p", { className: "fault" }, text));
  }
}

function show({ state, lines, sweep }, bar, count) {
  const { done, total } = state === "sweeping" ? sweep : lines;
  if (total) Object.assign(bar, { max: total, value: done });
  else bar.removeAttribute("value");
  const much = total ? `${done} of ${total}` : String(done);
  count.textContent = {
    waiting: "waits for another measurement",
    reading: `${much} lines`,
    sweeping: `throughput, ${much} steps`,
  }[state];
}

/** The images of a set by the ids of its lines, each as a function that reads it. */
async function pictures(files) {
  const key = (name) => name.replace(/\.(?!.*\/)[^.]*$/, "");
  const image = ({ name }) => /\.(png|jpe?g|webp|bmp|tiff?)$/i.test(name);
  const inside = files.length === 1 ? ((await members(files[0]).catch(() => null)) ?? []) : files;
  const found = new Map();
  for (const member of inside.filter(image)) {
    const read = async () => (member instanceof File ? member : new File([await member.read()], member.name));
    found.set(key(member.name), read);
    found.set(key(member.name).replace(/^.*\//, ""), read);
  }
  return (id) => found.get(id) ?? found.get(id.replace(/^.*\//, ""));
}

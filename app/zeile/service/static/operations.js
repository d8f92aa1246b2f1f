// SPDX-License-Identifier: Apache-2.0
// The service as it runs: its state in the header, live charts, models, and what it is.

import { LiveChart } from "./charts.js";
import { at, make, pairs } from "./dom.js";
import { showModels } from "./models.js";
import * as service from "./service.js";
import { shown } from "./surroundings.js";

const KEPT = 300; // snapshots
const AGAIN_MS = 2000; // after a stream broke off
const LOOK_MS = 15_000; // at the state, while no stream says it

const kept = [];
const charts = [
  new LiveChart("Lines a second", "lines/s", [{ name: "read", colour: "accent", of: (s) => s.lines_per_second }]),
  new LiveChart("Latency", "ms", [
    { name: "p50", colour: "accent", of: (s) => s.latency_ms?.p50 },
    { name: "p95", colour: "doubtful", of: (s) => s.latency_ms?.p95 },
  ]),
  new LiveChart("Waiting and under way", "", [
    { name: "lines waiting", colour: "accent", of: (s) => s.queue_lines },
    { name: "requests", colour: "doubtful", of: (s) => s.in_flight },
  ], 0),
  new LiveChart("Turned away", "requests/s", [{ name: "rejected", colour: "guess", of: (s) => s.rejected_per_second }]),
  new LiveChart("Power", "W", [{ name: "all rails", colour: "accent", of: (s) => s.watts }]),
];
let watching = false;
let stream = null; // its AbortController
let info = null;
let modelsChanged = () => {};

export const whenModelsChange = (act) => (modelsChanged = act);

const named = ({ engine, path, instead_of: instead }) =>
  `${engine ?? "no engine"}${path ? ` (${path})` : ""}${instead ? `, in place of ${instead}` : ""}`;

/** Look once what the service is; afterwards the stream, or a look now and then, keeps the header true. */
export async function state() {
  info = await service.info();
  at("info").replaceChildren(...pairs(about(info)));
  await look();
  setInterval(() => !stream && !document.hidden && look(), LOOK_MS);
}

async function look() {
  try {
    const answer = await service.ready();
    say({ ready: true, ...answer });
  } catch (error) {
    say({ ready: false, because: error.message });
  }
}

function say({ ready, because, circuit }) {
  if (!ready) shown("bad", `not ready: ${because}`);
  else if (circuit && circuit.state !== "closed") shown("warn", `ready on the CPU; the board is left alone: ${circuit.because}`);
  else shown("good", `ready · ${named(info?.engine ?? {})} · version ${info?.version ?? ""}`);
}

function about({ version, python, machine, started, engine, threads, limits, audit, audit_text, keys, checked, self_test_s }) {
  const much = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const log = audit ? `kept${audit_text ? ", with texts" : ", without images and texts"}` : "none is kept";
  return [
    ["Version", `Zeile ${version}, Python ${python}, ${machine}`],
    ["Since", started.replace("T", " ").replace("+00:00", " UTC")],
    ["Engine", `${named(engine)}; ${threads} ${threads === 1 ? "thread" : "threads"}`],
    ["Image", `up to ${(limits.image_pixels / 1e6).toFixed(0)} megapixels and ${much(limits.image_bytes)}`],
    ["Request", `up to ${much(limits.body_bytes)}, ${limits.deadline_s} s`],
    ["Queue", `up to ${limits.queue_lines} lines, ${limits.requests} requests`],
    ["Share of a client", limits.rate ? `${limits.rate} lines a second` : "no limit but its fair share"],
    ["Keys", keys ? "asked for" : "none asked for"],
    ["Audit log", log],
    ["Self-test", `every ${self_test_s} s${checked ? `; ${checked} of 1000 lines of a board are read again by the CPU` : ""}`],
  ];
}

/** Show the live view, or rest. */
export function watch(on) {
  watching = on;
  if (on && !at("charts").children.length) at("charts").append(...charts.map(({ figure }) => figure));
  if (on) models();
  follow();
}

async function models() {
  try {
    await showModels(at("models"), async () => {
      await modelsChanged();
      await models();
    });
  } catch (error) {
    at("models").replaceChildren(make("p", { className: "fault" }, error.message));
  }
}

/** Keep a stream open while the view is seen, and none otherwise. */
async function follow() {
  if (!watching || document.hidden) {
    stream?.abort();
    stream = null;
    return;
  }
  if (stream) return;
  const mine = new AbortController();
  stream = mine;
  while (!mine.signal.aborted) {
    try {
      const response = await service.live(kept.at(-1)?.id, mine.signal);
      await events(response, (snapshot) => snapshots(snapshot));
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 403 || error.status === 401) {
        at("tiles").replaceChildren(make("p", { className: "fault" }, error.message));
        stream = null;
        return;
      }
      shown("bad", error.message);
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }
}

/** Call `take` with the events of a stream, all that came together at once. */
async function events(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let open = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (open + value).split("\n\n");
    open = parts.pop();
    const found = parts.map((part) => /^data: (.*)$/m.exec(part)?.[1]).filter(Boolean);
    if (found.length) take(found.map((text) => JSON.parse(text)));
  }
}

function snapshots(added) {
  if (added[0].id <= (kept.at(-1)?.id ?? 0)) kept.length = 0; // another run of the service
  kept.push(...added);
  kept.splice(0, kept.length - KEPT);
  const last = kept.at(-1);
  say(last);
  tiles(last);
  for (const chart of charts) chart.show(kept);
}

function tiles({ totals, self_test: test, circuit }) {
  const made = pairs([
    ["Lines read", totals.lines.toLocaleString("en")],
    ["Answers", totals.answers.toLocaleString("en")],
    ["Turned away", totals.rejected.toLocaleString("en")],
    ["Self-test", test ? `${test.ok ? "passed" : "failed"} ${test.time.slice(11, 16)}` : "not yet"],
    ["Board", circuit && { closed: "in use", open: "left alone", "half-open": "on trial", held: "held back" }[circuit.state]],
    ["Faults of the board", circuit && String(totals.faults)],
    ["Read by the CPU instead", circuit && totals.fallback_lines.toLocaleString("en")],
    ["Checked again", circuit && `${totals.checked_lines}, ${totals.mismatches} differed`],
  ]);
  at("tiles").replaceChildren(...made);
  at("board").hidden = !circuit || circuit.state === "closed";
}

at("board").addEventListener("click", async () => {
  at("board").disabled = true;
  try {
    await service.closeCircuit();
  } catch (error) {
    shown("bad", error.message);
  }
  at("board").disabled = false;
});
document.addEventListener("visibilitychange", follow);
addEventListener("resize", () => kept.length && charts.forEach((chart) => chart.show(kept)));
addEventListener("zeile-colours", () => charts.forEach((chart) => chart.plot && chart.draw()));

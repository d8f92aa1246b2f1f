// SPDX-License-Identifier: Apache-2.0
// A measurement on the page: figures, worst lines with their images, confusions, throughput.

import { aligned } from "./corrections.js";
import { graphemes, make, pairs, save, table } from "./dom.js";
import { picture } from "./pictures.js";
import { sweepChart } from "./charts.js";

const rate = (value) => (value === null ? "–" : `${(100 * value).toFixed(2)} %`);
const shown = (unit) => (unit === "" ? "ε" : unit === " " ? "␣" : unit);
const WORST = 10;
const CONFUSIONS = 20;

function figures(evaluation, answer) {
  const { low, high, over } = evaluation.cer_interval;
  const count = `${evaluation.lines} lines, ${evaluation.characters} characters`;
  return make(
    "dl",
    { className: "tiles" },
    ...pairs([
      ["Character error rate", rate(evaluation.cer)],
      [`95 % interval over ${over}`, low === null ? "–" : `${rate(low).slice(0, -2)} – ${rate(high)}`],
      ["Word error rate", rate(evaluation.wer)],
      ["Lines without error", rate(evaluation.exact_lines)],
      ["Ground truth", count],
      ["Lines a second", String(answer.lines_per_second)],
    ]),
  );
}

/** Truth above, reading below, unit under unit, with what differs marked. */
function comparison(truth, text) {
  const [one, other] = [graphemes(truth), graphemes(text)];
  const rows = [make("span", { className: "truth", label: `Truth: ${truth}` }), make("span", { label: `Read: ${text}` })];
  for (const [i, j] of aligned(one, other)) {
    const units = [i < 0 ? "" : one[i], j < 0 ? "" : other[j]];
    const same = units[0] === units[1];
    rows.forEach((row, index) => row.append(same ? units[index] : make("b", {}, units[index] || "·")));
  }
  return make("div", { className: "comparison" }, ...rows);
}

/** The worst lines, first the one with most errors. */
function worst(lines, pictures) {
  const items = lines.slice(0, WORST).map(({ id, errors, truth, text }) => {
    const place = make("div", { className: "thumb" });
    const read = pictures(id);
    if (read) {
      read()
        .then((file) => picture(file, `Image of ${id}`))
        .then((image) => place.replaceChildren(image))
        .catch(() => place.remove());
    } else place.remove();
    const head = `${errors} ${errors === 1 ? "error" : "errors"}`;
    const label = make("p", { className: "hint" }, make("strong", {}, head), ` · ${id}`);
    return make("li", {}, label, ...(read ? [place] : []), comparison(truth, text));
  });
  return make("section", {}, make("h3", {}, "Lines with the most errors, truth above"), make("ol", { className: "worst" }, ...items));
}

function confusions(found) {
  const rows = found.slice(0, CONFUSIONS).map(([truth, read, times]) => {
    const bar = make("span", { className: "bar" });
    bar.style.width = `${(100 * times) / found[0][2]}%`;
    return [make("span", { className: "unit" }, shown(truth)), make("span", { className: "unit" }, shown(read)), String(times), bar];
  });
  const made = table("Confusions, most frequent first", ["Truth", "Read", "Times", ""], rows, ["Times"]);
  made.classList.add("confusions");
  return made;
}

function throughput(steps) {
  const rows = steps.map((step) =>
    [step.concurrency, step.lines_per_second, ...["p50", "p95", "p99"].map((name) => step.latency_ms[name])].map(String),
  );
  const head = ["Lines on their way", "Lines/s", "p50 ms", "p95 ms", "p99 ms"];
  return make("section", {}, make("h3", {}, "Throughput of the service itself, without HTTP"), sweepChart(steps), table("By lines on their way", head, rows, head));
}

/** Fill `place` with the result of a measurement; `pictures(id)` gives a line's image, if there is one. */
export function showMeasurement(place, name, answer, pictures) {
  const { evaluation, model, sweep } = answer;
  const warning = evaluation.cer_interval.warning;
  const keep = make("button", { type: "button" }, "Save as JSON");
  keep.addEventListener("click", () => save("measurement.json", `${JSON.stringify(answer, null, 1)}\n`, "application/json"));
  const wrong = evaluation.worst_lines.length > 0;
  place.replaceChildren(
    make("div", { className: "head" }, make("h2", {}, name), make("p", {}, `read by ${model.name}/${model.version}`), keep),
    figures(evaluation, answer),
    ...(warning ? [make("p", { className: "hint" }, `Interval: ${warning}.`)] : []),
    ...(wrong
      ? [make("div", { className: "columns" }, worst(evaluation.worst_lines, pictures), confusions(evaluation.confusions))]
      : [make("p", {}, "No line has an error.")]),
    ...(sweep?.length ? [throughput(sweep)] : []),
  );
}

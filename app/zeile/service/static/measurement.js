// SPDX-License-Identifier: Apache-2.0
// A measurement on the page: figures, confusions and worst lines.

const rate = (value) => (value === null ? "–" : `${(100 * value).toFixed(2)} %`);
const shown = (unit) => (unit === "" ? "ε" : unit === " " ? "␣" : unit);

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function figures(evaluation, answer) {
  const { low, high, over } = evaluation.cer_interval;
  const list = element("dl", "", "figures");
  const pairs = [
    ["Character error rate", rate(evaluation.cer)],
    [`95 % interval over ${over}`, `${rate(low)} to ${rate(high)}`],
    ["Word error rate", rate(evaluation.wer)],
    ["Lines without error", rate(evaluation.exact_lines)],
    ["Lines", String(evaluation.lines)],
    ["Lines a second", String(answer.lines_per_second)],
  ];
  for (const [term, value] of pairs) {
    const group = element("div");
    group.append(element("dt", term), element("dd", value));
    list.append(group);
  }
  return list;
}

function table(caption, head, rows) {
  const made = element("table");
  made.append(element("caption", caption));
  const top = made.createTHead().insertRow();
  for (const name of head) {
    const cell = element("th", name, ["Times", "Errors"].includes(name) ? "number" : "");
    cell.scope = "col";
    top.append(cell);
  }
  const body = made.createTBody();
  for (const cells of rows) body.insertRow().append(...cells);
  return made;
}

/** Fill `place` with an answer of /v1/measure. */
export function showMeasurement(place, name, answer) {
  const { evaluation, model } = answer;
  const confusions = evaluation.confusions.map(([truth, read, times]) => [
    element("td", shown(truth)),
    element("td", shown(read)),
    element("td", String(times), "number"),
  ]);
  const worst = evaluation.worst_lines.map(({ id, errors, truth, text }) => {
    const texts = element("td");
    texts.append(element("span", truth, "truth"), element("span", text, "read"));
    return [element("td", id), element("td", String(errors), "number"), texts];
  });
  const tables = element("div", "", "tables");
  tables.append(
    table("Confusions, most frequent first", ["Truth", "Read", "Times"], confusions.slice(0, 20)),
    table("Lines with the most errors: truth above, read below", ["Line", "Errors", "Texts"], worst.slice(0, 10)),
  );
  const warning = evaluation.cer_interval.warning;
  place.replaceChildren(
    element("h2", `${name}, read by ${model.name}/${model.version}`),
    figures(evaluation, answer),
    element("p", warning ? `Interval: ${warning}.` : ""),
    tables,
  );
}

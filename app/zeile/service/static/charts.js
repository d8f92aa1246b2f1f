// SPDX-License-Identifier: Apache-2.0
// Charts by uPlot (vendor/), in the page's colours, each with a sentence for those who cannot see it.

import { make } from "./dom.js";

const HEIGHT = 132;
const SPAN_S = 300; // what a live chart shows

/** A colour of the style sheet as a canvas takes it, for light or dark as it is now. */
function colour(name) {
  const probe = make("span", {});
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]; // steps of an axis that counts

const compact = (value) => (value >= 10_000 ? `${Math.round(value / 1000)}k` : String(value));

const clock = (seconds) => new Date(1000 * seconds).toTimeString().slice(0, 5);

/** Full minutes between two times. */
function minutes(low, high) {
  const found = [];
  for (let at = Math.ceil(low / 60) * 60; at <= high; at += 60) found.push(at);
  return found;
}

function axes(time, digits = 1) {
  const common = { stroke: colour("soft"), font: "11px system-ui, sans-serif", ticks: { show: false } };
  const grid = { stroke: colour("edge"), width: 1 };
  return [
    {
      ...common,
      grid: { show: false },
      size: 24,
      ...(time && { splits: (_, __, low, high) => minutes(low, high), values: (_, ticks) => ticks.map(clock) }),
    },
    { ...common, grid, size: 40, space: 32, values: (_, ticks) => ticks.map(compact), ...(!digits && { incrs: WHOLE }) },
  ];
}

const DASHES = [[], [5, 3], [2, 3]];

function lines(series) {
  return [
    {},
    ...series.map(({ name, colour: own }, index) => ({
      label: name,
      stroke: colour(own),
      width: 1.5,
      dash: DASHES[index], // not by colour alone
      fill: series.length === 1 ? colour("wash") : undefined,
      points: { show: false },
      spanGaps: false,
    })),
  ];
}

/** A curve of the last minutes. `series` are [{name, colour, of(snapshot)}]. */
export class LiveChart {
  constructor(title, unit, series, digits = 1) {
    Object.assign(this, { title, unit, series, digits, plot: null });
    this.now = make("strong", {});
    this.legend = make("span", { className: "legend" });
    this.place = make("div", { className: "plot", role: "img", label: `${title}: nothing yet` });
    const caption = make("figcaption", {}, make("span", {}, title), this.legend, this.now);
    this.figure = make("figure", { className: "chart" }, caption, this.place);
    if (series.length > 1) {
      this.legend.append(
        ...series.map(({ name }, index) => make("span", { className: `key dash-${index}` }, name)),
      );
    }
  }

  draw() {
    this.plot?.destroy();
    this.plot = new uPlot(
      {
        width: this.place.clientWidth || 300,
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        padding: [8, 4, 0, 0],
        scales: { x: { time: true, range: () => this.range() }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.15)] } },
        axes: axes(true, this.digits),
        series: lines(this.series),
      },
      this.data ?? [[], ...this.series.map(() => [])],
      this.place,
    );
  }

  range() {
    const until = this.data?.[0].at(-1) ?? 0;
    return [until - SPAN_S, until];
  }

  /** Show snapshots, oldest first. */
  show(snapshots) {
    const values = this.series.map(({ of }) => snapshots.map((snapshot) => of(snapshot) ?? null));
    this.figure.hidden = values.every((own) => own.every((value) => value === null));
    if (this.figure.hidden) return;
    this.data = [snapshots.map(({ time }) => time), ...values];
    const last = values.map((own) => own.at(-1));
    const said = last.map((value) => (value === null ? "–" : value.toFixed(value >= 100 ? 0 : this.digits)));
    this.now.textContent = `${said.join(" / ")} ${this.unit}`.trim();
    const peak = Math.max(0, ...values.flat().filter((value) => value !== null));
    const names = this.series.map(({ name }, index) => `${name} ${said[index]}`).join(", ");
    this.place.setAttribute("aria-label", `${this.title}: ${names} ${this.unit} now, at most ${peak.toFixed(1)} in view`);
    if (!this.place.clientWidth) return; // not on view
    if (!this.plot || this.plot.width !== this.place.clientWidth) this.draw();
    else this.plot.setData(this.data);
  }
}

/** Lines a second by lines on their way. */
export function sweepChart(steps) {
  const place = make("div", { className: "plot", role: "img" });
  const best = steps.reduce((one, other) => (other.lines_per_second > one.lines_per_second ? other : one));
  place.setAttribute("aria-label", `At most ${best.lines_per_second} lines a second, with ${best.concurrency} on their way`);
  const draw = () => {
    if (!place.clientWidth) return;
    place.replaceChildren();
    const positions = steps.map((_, index) => index);
    const own = axes(false);
    own[0].values = (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(steps[tick]?.concurrency ?? "") : ""));
    own[0].splits = () => positions;
    const series = lines([{ name: "lines/s", colour: "accent" }]);
    series[1].points = { show: true, size: 6 };
    new uPlot(
      {
        width: place.clientWidth,
        height: 170,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false, range: [-0.2, steps.length - 0.8] }, y: { range: (_, low, high) => [0, Math.max(1, high * 1.15)] } },
        axes: own,
        series,
      },
      [positions, steps.map((step) => step.lines_per_second)],
      place,
    );
  };
  new ResizeObserver(draw).observe(place);
  return make("figure", { className: "chart" }, make("figcaption", {}, make("span", {}, "Lines a second, by lines on their way")), place);
}

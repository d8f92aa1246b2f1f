// SPDX-License-Identifier: Apache-2.0
// A page: its image with the lines' regions beside the lines, which are cut out of it and shown like any others.

import { make, stamped } from "./dom.js";
import { LineView } from "./line.js";
import { cut, picture } from "./pictures.js";

const SVG = "http://www.w3.org/2000/svg";

const corners = ({ box: [left, top, right, bottom], polygon }) =>
  polygon?.length ? polygon : [[left, top], [right, top], [right, bottom], [left, bottom]];

export class Sheet {
  /** A card for a page; it shows its image at once and waits for `show` or `fail`. */
  constructor(image, regions) {
    Object.assign(this, { file: image, regions, name: image.name, views: [] });
    this.card = stamped("sheet");
    this.part("h3").textContent = image.name;
    this.part(".record").addEventListener("click", () => {
      this.card.dispatchEvent(new CustomEvent("line-record", { bubbles: true, detail: this.origin }));
    });
    this.picture = picture(image, `Page ${image.name}`);
    this.picture.then(
      (shown) => this.part(".leaf").prepend(shown),
      () => this.part(".leaf").append(make("p", { className: "missing" }, "This browser cannot show the image.")),
    );
    this.wait();
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  wait() {
    this.close(false);
    this.card.classList.remove("failed");
    this.card.setAttribute("aria-busy", "true");
    this.part(".facts").textContent = "reading …";
    this.part(".tools").hidden = true;
  }

  /** Show the lines of `page`, the service's answer. */
  show(page, facts) {
    this.done();
    this.origin = { provenance: page.provenance, time_ms: page.time_ms };
    this.part(".tools").hidden = !page.provenance;
    const count = `${page.lines.length} ${page.lines.length === 1 ? "line" : "lines"}`;
    const found = make("span", { className: "badge" }, "lines found by Zeile, for clean pages of one column");
    const given = this.regions ? `lines of ${this.regions.name}` : "";
    this.part(".facts").replaceChildren(`${count} · ${facts} · `, page.segmented ? found : given);
    const widest = Math.max(...page.lines.map(({ box: [left, , right] }) => right - left));
    this.views = page.lines.map((line, index) => {
      const crop = this.picture.then((shown) => cut(shown, line.box, `Line ${index + 1} of ${this.name}`));
      const view = new LineView(this.file, line.id || `line ${index + 1}`, crop);
      view.widest = widest; // lines of a page are shown in one size
      view.part("h3").classList.toggle("unseen", page.segmented); // they have but their numbers
      if (line.error) view.fail(line.error.detail ?? String(line.error));
      else view.show(line, null);
      return view;
    });
    this.part(".page-lines").replaceChildren(...this.views.map((view) => view.card));
    this.outline(page);
  }

  /** The lines' regions over the image, linked with the lines. */
  outline({ width, height, lines }) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-hidden", "true");
    lines.forEach((line, index) => {
      const shape = document.createElementNS(SVG, "polygon");
      shape.setAttribute("points", corners(line).map((point) => point.join(",")).join(" "));
      const { card } = this.views[index];
      const point = (here) => shape.classList.toggle("here", here);
      for (const event of ["mouseenter", "focusin"]) card.addEventListener(event, () => point(true));
      for (const event of ["mouseleave", "focusout"]) card.addEventListener(event, () => point(false));
      shape.addEventListener("mouseenter", () => card.classList.add("here"));
      shape.addEventListener("mouseleave", () => card.classList.remove("here"));
      shape.addEventListener("click", () => {
        card.scrollIntoView({ block: "center" });
        this.views[index].spans()[0]?.focus({ preventScroll: true });
      });
      svg.append(shape);
    });
    this.part(".leaf svg")?.remove();
    this.part(".leaf").append(svg);
  }

  fail(message) {
    this.done();
    this.card.classList.add("failed");
    this.part(".facts").textContent = `not read: ${message}`;
  }

  done() {
    this.card.setAttribute("aria-busy", "false");
  }

  close(all = true) {
    for (const view of this.views.splice(0)) view.close();
    if (all) this.card.remove();
  }
}

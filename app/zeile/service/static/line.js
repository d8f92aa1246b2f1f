// SPDX-License-Identifier: Apache-2.0
// A line on the page: its image, its text set under it, and the columns that each character was seen in.

import { setting } from "./align.js";
import { corrected } from "./corrections.js";
import { copy, make, stamped } from "./dom.js";
import { edit, offer } from "./editing.js";
import { picture } from "./pictures.js";

const percent = (confidence) => `${(100 * confidence).toFixed(1)} %`;
const named = (text) => (text === " " ? "blank" : text);

function certainty({ edited, confidence }) {
  if (edited) return "edited";
  if (confidence >= 0.95) return "sure";
  if (confidence >= 0.8) return "likely";
  return confidence >= 0.5 ? "doubtful" : "guess";
}

// Only lines near the window are set under their images, and again when their width changes: there may be hundreds.
const cards = new WeakMap();
const near = new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => cards.get(target)?.see(isIntersecting)),
  { rootMargin: "600px" },
);
addEventListener("beforeprint", () => {
  for (const card of document.querySelectorAll(".line")) cards.get(card)?.see(true); // paper shows them all
});
const widths = new ResizeObserver((entries) => entries.forEach(({ target }) => cards.get(target)?.set()));

export class LineView {
  /**
   * A card for the image of a line; it shows the image at once and waits for `show` or `fail`.
   *
   * @param file the image, or the page that the line is on
   * @param name what the line is called
   * @param crop a canvas with the line, cut out of a page, or a promise of one; undefined where the file is the line
   */
  constructor(file, name = file.name, crop = undefined) {
    Object.assign(this, { file, name, text: null, read: null, confidence: null, error: "", characters: [] });
    this.card = stamped("line");
    this.part("h3").textContent = name;
    this.shown = this.illustrate(crop);
    this.listen();
    cards.set(this.card, this);
    widths.observe(this.card);
    near.observe(this.card);
    this.wait();
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  get edited() {
    return this.read !== null && this.text !== this.read.text;
  }

  async illustrate(crop) {
    try {
      const shown = await (crop ?? picture(this.file, `Image ${this.name}`));
      this.part(".picture").replaceChildren(shown);
      this.columns = shown.naturalWidth ?? shown.width;
      this.rows = shown.naturalHeight ?? shown.height;
      this.part(".missing").hidden = true;
    } catch {
      this.part(".picture").hidden = true;
      this.part(".missing").hidden = false;
    }
    this.set();
  }

  listen() {
    const text = this.part(".text");
    const at = (event) => Number(event.target.dataset?.index ?? -1);
    text.addEventListener("mouseover", (event) => this.mark(at(event)));
    text.addEventListener("focusin", (event) => this.mark(at(event), true));
    text.addEventListener("keydown", (event) => this.step(event));
    text.addEventListener("dblclick", () => edit(this));
    this.card.addEventListener("mouseleave", () => this.mark(text.contains(document.activeElement) ? this.current : -1));
    text.addEventListener("focusout", () => this.mark(-1));
    const image = this.part(".picture");
    image.addEventListener("mousemove", (event) => this.mark(this.under(event)));
    image.addEventListener("click", (event) => this.spans()[this.under(event)]?.focus());
    this.part(".copy").addEventListener("click", () => copy(this.text, this.part(".copy")));
    this.part(".edit").addEventListener("click", () => edit(this));
    this.part(".record").addEventListener("click", () => this.tell("record", this.origin));
  }

  /** Let the page know; it listens on the list. */
  tell(what, detail) {
    this.card.dispatchEvent(new CustomEvent(`line-${what}`, { bubbles: true, detail }));
  }

  wait() {
    this.card.classList.remove("failed");
    this.card.setAttribute("aria-busy", "true");
    this.part(".facts").textContent = "reading …";
    this.part(".tools").hidden = true;
  }

  /** Show what was read: `line` and `origin` ({provenance, time_ms}) are of the service's answer. */
  show(line, origin, facts = "") {
    this.done();
    this.read = line;
    this.error = "";
    this.confidence = line.confidence;
    this.origin = origin;
    this.about = facts;
    this.part(".tools").hidden = false;
    this.part(".record").hidden = !origin?.provenance;
    offer(this, line.alternatives ?? []);
    this.take(line.text);
  }

  /** Say why there is no text. */
  fail(message) {
    this.done();
    Object.assign(this, { text: null, read: null, confidence: null, characters: [], error: message });
    this.card.classList.add("failed");
    this.part(".facts").textContent = "not read";
    this.part(".alternatives").hidden = true;
    this.plain(message, `No text of ${this.name}`);
  }

  done() {
    this.card.setAttribute("aria-busy", "false");
    this.mark(-1);
  }

  /** Take a text for the line: the one that was read, an alternative, or a correction. */
  take(text) {
    const { read } = this;
    this.mark(-1);
    this.text = text;
    this.characters = this.edited ? corrected(read.characters, text) : read.characters;
    this.card.classList.toggle("corrected", this.edited);
    const sure = read.confidence === null ? [] : [`${percent(read.confidence)} sure`];
    this.part(".facts").textContent = [...(this.edited ? ["corrected"] : sure), this.about].filter(Boolean).join(" · ");
    this.card.querySelectorAll(".alternatives button").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.text === text));
    });
    this.set();
  }

  plain(text, label) {
    const place = this.part(".text");
    place.className = "text none";
    place.setAttribute("aria-label", label);
    place.textContent = text;
    place.style.fontSize = place.style.width = "";
  }

  see(seen) {
    this.seen = seen;
    if (seen && this.stale) this.set();
  }

  /** Set the text: under its image where there is one and room, else flowing. */
  set() {
    this.stale = !this.seen;
    const frame = this.part(".facsimile");
    const place = this.part(".text");
    if (this.columns && this.seen) this.scale();
    if (this.text === null || this.editing) return;
    if (this.stale && this.drawn === this.characters) return;
    this.drawn = this.characters;
    if (!this.characters.length) {
      this.plain(this.text || "a blank line", `Text of ${this.name}: ${this.text || "none"}`);
      return;
    }
    const focused = this.spans().indexOf(document.activeElement);
    const spans = this.characters.map((character, index) => this.span(character, index));
    const scale = this.seen && this.columns && !frame.classList.contains("scrolls") ? this.width / this.columns : 0;
    const room = [place.clientWidth, scale * this.rows];
    const set = scale ? setting(this.characters, scale, room, getComputedStyle(place).fontFamily) : null;
    place.className = set ? "text" : "text flows";
    place.setAttribute("aria-label", `Text of ${this.name}: ${this.text}`);
    place.style.fontSize = set ? `${set.size}px` : "";
    place.replaceChildren(...(set ? this.placed(spans, set) : spans));
    if (focused >= 0) spans[Math.min(focused, spans.length - 1)].focus({ preventScroll: true });
  }

  /** The size of the image: as wide as the card, but not higher than a line needs, nor too low to see. */
  scale() {
    const room = this.part(".facsimile").clientWidth;
    if (!room) return; // not on the page yet
    const [lowest, highest] = [room > 500 ? 20 : 30, 60];
    const height = Math.min(highest, (room * this.rows) / Math.max(this.columns, this.widest ?? 0));
    const scrolls = height < lowest;
    this.width = ((scrolls ? 44 : height) * this.columns) / this.rows;
    this.part(".facsimile").classList.toggle("scrolls", scrolls);
    this.part(".picture").style.width = `${this.width}px`;
  }

  /** The spans in their words, each at its place; blanks fill the gaps. */
  placed(spans, { words }) {
    const parts = [];
    let next = 0;
    const blank = (until, left) => {
      for (; next < until; next += 1) {
        spans[next].style.left = `${left}px`;
        spans[next].classList.add("gap");
        parts.push(spans[next]);
      }
    };
    let end = 0;
    for (const word of words) {
      blank(word.first, end);
      const holder = make("span", { className: "word" }, ...spans.slice(word.first, word.last + 1));
      holder.style.left = `${word.left}px`;
      holder.style.letterSpacing = `${word.spacing}em`;
      parts.push(holder);
      next = word.last + 1;
      end = word.end;
    }
    blank(spans.length, end);
    return parts;
  }

  spans() {
    return [...this.part(".text").querySelectorAll("[data-index]")];
  }

  span(character, index) {
    const span = make("span", { role: "option", label: this.describe(character), className: certainty(character) });
    span.textContent = character.text;
    span.dataset.index = index;
    span.tabIndex = index === 0 ? 0 : -1; // one tab stop a line, arrows within it
    return span;
  }

  describe(character) {
    const sure = character.edited ? "corrected" : `${percent(character.confidence)} sure`;
    return `${named(character.text)}, ${sure}, columns ${character.left} to ${Math.max(character.left, character.right - 1)}`;
  }

  /** Mark a character in text and image; -1 marks none. */
  mark(index, scroll = false) {
    const character = this.characters[index];
    this.part(".text .marked")?.classList.remove("marked");
    this.current = character ? index : -1;
    const mark = this.part(".mark");
    mark.hidden = !character || !this.columns;
    this.card.classList.toggle("pointed", Boolean(character));
    this.part(".detail").textContent = character ? this.describe(character) : "";
    if (!character) return;
    this.spans()[index]?.classList.add("marked");
    if (!this.columns) return;
    mark.style.left = `${(this.width * character.left) / this.columns}px`;
    mark.style.width = `${Math.max(2, (this.width * (character.right - character.left)) / this.columns)}px`;
    if (scroll) mark.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** The character at the pointer's column of the image, or the nearest one to its left. */
  under(event) {
    const column = (event.offsetX / this.width) * this.columns;
    return this.characters.findLastIndex((character) => character.left <= column);
  }

  step(event) {
    const spans = this.spans();
    const here = spans.indexOf(document.activeElement);
    if (here < 0) return;
    if (event.key === "Enter" || event.key === "F2") {
      event.preventDefault();
      edit(this);
    }
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (!spans[to]) return;
    event.preventDefault();
    spans[here].tabIndex = -1;
    spans[to].tabIndex = 0;
    spans[to].focus({ preventScroll: false });
  }

  close() {
    widths.unobserve(this.card);
    near.unobserve(this.card);
    this.card.remove();
  }
}

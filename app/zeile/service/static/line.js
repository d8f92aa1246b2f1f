// SPDX-License-Identifier: Apache-2.0
// A line on the page: its image, its text, and the columns of the image that each character was seen in.
// Texts go into the page as text alone, never as markup.

const percent = (confidence) => `${(100 * confidence).toFixed(1)} %`;
const named = (text) => (text === " " ? "blank" : text);

function certainty(confidence) {
  if (confidence >= 0.95) return "sure";
  if (confidence >= 0.8) return "likely";
  return confidence >= 0.5 ? "doubtful" : "guess";
}

export class LineView {
  /** A card for an image file; it shows its image at once and waits for `show` or `fail`. */
  constructor(file) {
    this.file = file;
    this.text = null;
    this.confidence = null;
    this.characters = [];
    this.card = document.getElementById("line").content.firstElementChild.cloneNode(true);
    this.part("h2").textContent = file.name;
    this.url = URL.createObjectURL(file);
    const image = this.part("img");
    image.alt = `Image ${file.name}`;
    image.src = this.url;
    image.addEventListener("error", () => {
      this.part(".scroll").hidden = true;
      this.part(".missing").hidden = false;
    });
    this.listen();
    this.wait();
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  listen() {
    const text = this.part(".text");
    const at = (event) => Number(event.target.dataset?.index ?? -1);
    text.addEventListener("mouseover", (event) => this.mark(at(event)));
    text.addEventListener("focusin", (event) => this.mark(at(event), true));
    text.addEventListener("keydown", (event) => this.step(event));
    this.card.addEventListener("mouseleave", () => this.mark(text.contains(document.activeElement) ? this.current : -1));
    text.addEventListener("focusout", () => this.mark(-1));
    const image = this.part("img");
    image.addEventListener("mousemove", (event) => this.mark(this.under(event)));
    image.addEventListener("click", (event) => text.children[this.under(event)]?.focus());
    this.part(".copy").addEventListener("click", () => copy(this.text, this.part(".copy")));
  }

  wait() {
    this.card.classList.remove("failed");
    this.card.setAttribute("aria-busy", "true");
    this.part(".facts").textContent = "reading …";
    this.part(".copy").hidden = true;
  }

  /** Show what was read; `line` and `time` are of the service's answer. */
  show(line, time) {
    this.done();
    this.text = line.text;
    this.confidence = line.confidence;
    this.characters = line.characters;
    const sure = line.confidence === null ? "" : `${percent(line.confidence)} sure · `;
    const stages = ["decode", "preprocess", "network", "ctc"].map((name) => `${name} ${time[name].toFixed(1)}`);
    this.part(".facts").textContent = `${sure}${time.total.toFixed(1)} ms (${stages.join(", ")})`;
    this.part(".copy").hidden = false;
    const text = this.part(".text");
    text.setAttribute("aria-label", `Text of ${this.file.name}: ${line.text || "none"}`);
    text.classList.toggle("none", line.text === "");
    if (line.text === "") text.textContent = "a blank line";
    else text.replaceChildren(...line.characters.map((character, index) => this.span(character, index)));
  }

  /** Say why there is no text. */
  fail(message) {
    this.done();
    this.text = this.confidence = null;
    this.characters = [];
    this.card.classList.add("failed");
    this.part(".facts").textContent = "not read";
    const text = this.part(".text");
    text.setAttribute("aria-label", `No text of ${this.file.name}`);
    text.classList.add("none");
    text.textContent = message;
  }

  done() {
    this.card.setAttribute("aria-busy", "false");
    this.mark(-1);
  }

  span(character, index) {
    const span = document.createElement("span");
    span.textContent = character.text;
    span.className = certainty(character.confidence);
    span.dataset.index = index;
    span.setAttribute("role", "option");
    span.setAttribute("aria-label", this.describe(character));
    span.tabIndex = index === 0 ? 0 : -1; // one tab stop a line, arrows within it
    return span;
  }

  describe(character) {
    const columns = `columns ${character.left} to ${character.right - 1}`;
    return `${named(character.text)}, ${percent(character.confidence)} sure, ${columns}`;
  }

  /** Mark a character in text and image; -1 marks none. */
  mark(index, scroll = false) {
    const spans = this.part(".text").children;
    const character = this.characters[index];
    spans[this.current]?.classList.remove("marked");
    this.current = character ? index : -1;
    const mark = this.part(".mark");
    mark.hidden = !character;
    this.part(".detail").textContent = character ? this.describe(character) : "";
    if (!character) return;
    spans[index].classList.add("marked");
    const width = this.part("img").naturalWidth || 1;
    mark.style.left = `${(100 * character.left) / width}%`;
    mark.style.width = `${(100 * (character.right - character.left)) / width}%`;
    if (scroll) mark.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** The character at the pointer's column of the image, or the nearest one to its left. */
  under(event) {
    const image = event.target;
    const column = (event.offsetX / image.clientWidth) * image.naturalWidth;
    return this.characters.findLastIndex((character) => character.left <= column);
  }

  step(event) {
    const spans = [...this.part(".text").children];
    const here = spans.indexOf(document.activeElement);
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (here < 0 || !spans[to]) return;
    event.preventDefault();
    spans[here].tabIndex = -1;
    spans[to].tabIndex = 0;
    spans[to].focus({ preventScroll: false });
  }

  close() {
    URL.revokeObjectURL(this.url);
    this.card.remove();
  }
}

/** Put a text on the clipboard and say so on the button for a moment. */
export async function copy(text, button) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

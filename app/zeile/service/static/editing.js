// SPDX-License-Identifier: Apache-2.0
// Correcting a line: in a field in the text's place, or by taking what the beam search found besides.

import { aligned } from "./corrections.js";
import { graphemes, make } from "./dom.js";

const SCORE_UNIT = 65536; // of a reading's score in a nat

const clean = (text) => text.normalize("NFC").replaceAll(/\s/gu, " ").trim();

/** Correct the text of a view. Enter keeps it, Escape does not; up and down keep it and go to the next line. */
export function edit(view) {
  if (view.editing || !view.read) return;
  view.mark(-1);
  view.editing = true;
  const text = view.part(".text");
  const field = make("input", { className: "editor", value: view.text, spellcheck: false, autocomplete: "off" });
  field.setAttribute("aria-label", `Correct the text of ${view.name}`);
  field.style.fontSize = text.style.fontSize;
  text.hidden = true;
  text.before(field);

  function end(keep) {
    if (!view.editing) return;
    view.editing = false;
    const entered = keep ? clean(field.value) : view.text;
    field.remove();
    text.hidden = false;
    view.take(entered);
    view.tell("changed");
  }

  field.addEventListener("blur", () => end(true));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key === "Enter" || event.key === "Escape") {
      event.preventDefault();
      end(event.key === "Enter");
      view.spans()[0]?.focus({ preventScroll: true });
    } else if (steps[event.key]) {
      event.preventDefault();
      end(true);
      view.tell("next", steps[event.key]);
    }
  });
  field.focus();
}

/** The words of a reading that are not as in another, each with what differs in it marked. */
function differing(read, text) {
  const [old, units] = [graphemes(read), graphemes(text)];
  const changed = new Set();
  const near = new Set(); // and where something is missing
  let last = 0;
  for (const [i, j] of aligned(old, units)) {
    if (j < 0) near.add(Math.min(last, units.length - 1));
    else if (i < 0 || old[i] !== units[j]) changed.add(j);
    if (j >= 0) last = j;
  }
  const parts = [];
  let word = [];
  let touched = false;
  units.concat(" ").forEach((unit, j) => {
    touched ||= changed.has(j) || near.has(j);
    if (j < units.length && unit.trim()) {
      word.push(changed.has(j) ? make("b", {}, unit) : unit);
      return;
    }
    if (touched) parts.push(...(parts.length ? [" … "] : []), ...word);
    if (touched && !word.length) parts.push(make("b", {}, "␣"));
    [word, touched] = [[], false];
  });
  return parts;
}

/** How probable a reading is beside the best one. */
function beside(score, best) {
  const share = Math.exp((score - best) / SCORE_UNIT);
  return share < 0.001 ? "< 0.001" : share.toFixed(3);
}

/** Show what else the beam search found, as an edition's apparatus shows variants; a click takes one. */
export function offer(view, alternatives) {
  const list = view.part(".alternatives");
  const [best, ...others] = alternatives;
  list.hidden = !others.length;
  list.setAttribute("aria-label", `Other readings of ${view.name}`);
  list.replaceChildren(
    ...others.map(({ text, score }) => {
      const share = beside(score, best.score);
      const label = `Take: ${text || "nothing"}; ${share} as probable as the best`;
      const button = make("button", { type: "button", label, title: text }, ...differing(best.text, text));
      button.dataset.text = text;
      button.addEventListener("click", () => {
        view.take(view.text === text ? view.read.text : text);
        view.tell("changed");
      });
      return make("li", {}, button, make("span", { className: "score", title: "as probable as the best" }, share));
    }),
  );
}

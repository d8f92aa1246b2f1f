// SPDX-License-Identifier: Apache-2.0
// A corrected text keeps the columns of what was read: characters that stayed keep theirs, new ones stand between.

import { graphemes } from "./dom.js";

/** Pairs of an edit script with the fewest edits: [index in read or -1, index in text or -1], in order. */
export function aligned(read, text) {
  const width = text.length + 1;
  const cost = new Uint32Array((read.length + 1) * width);
  for (let j = 1; j < width; j += 1) cost[j] = j;
  for (let i = 1; i <= read.length; i += 1) {
    cost[i * width] = i;
    for (let j = 1; j < width; j += 1) {
      const above = cost[(i - 1) * width + j] + 1;
      const before = cost[i * width + j - 1] + 1;
      const both = cost[(i - 1) * width + j - 1] + (read[i - 1] === text[j - 1] ? 0 : 1);
      cost[i * width + j] = Math.min(above, before, both);
    }
  }
  const pairs = [];
  let [i, j] = [read.length, text.length];
  while (i || j) {
    const here = cost[i * width + j];
    const same = i && j && read[i - 1] === text[j - 1];
    if (i && j && here === cost[(i - 1) * width + j - 1] + (same ? 0 : 1)) pairs.push([--i, --j]);
    else if (i && here === cost[(i - 1) * width + j] + 1) pairs.push([--i, -1]);
    else pairs.push([-1, --j]);
  }
  return pairs.reverse();
}

/** Characters of a corrected text, from those that were read. */
export function corrected(characters, text) {
  const units = graphemes(text);
  const pairs = aligned(
    characters.map((character) => character.text),
    units,
  );
  const made = [];
  let right = 0; // of the last character that was read
  pairs.forEach(([from, to], index) => {
    const old = characters[from];
    if (old) right = old.right;
    if (to < 0) return;
    if (old && old.text === units[to]) return made.push(old);
    const next = pairs.slice(index + 1).find(([later]) => later >= 0);
    const until = next ? characters[next[0]].left : right;
    const place = old ? { left: old.left, right: old.right } : { left: right, right: Math.max(right, until) };
    made.push({ text: units[to], ...place, confidence: null, edited: true });
  });
  return made;
}

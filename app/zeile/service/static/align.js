// SPDX-License-Identifier: Apache-2.0
// Text set under its image: the middle of each word's first and last character stands where the network saw them.

const SMALLEST = 13; // px; a text that would have to be smaller flows as ordinary text instead
const LARGEST = 40;
const SHARE = 0.8; // of the image's height, at most
const TIGHTEST = -0.08; // letter-spacing, em
const WIDEST = 0.35;
const SPACED = 0.8; // of words of five letters and more: old prints emphasise by spacing
const BLANK = 0.2; // at least between two words, em

const canvas = document.createElement("canvas").getContext("2d");
const em = (text) => canvas.measureText(text).width / 100;
const middle = ({ left, right }) => (left + right) / 2;

/** Runs of characters without blanks, as [first, last]. */
function words(characters) {
  const found = [];
  characters.forEach(({ text }, index) => {
    if (!text.trim()) return;
    if (found.length && found.at(-1)[1] === index - 1) found.at(-1)[1] = index;
    else found.push([index, index]);
  });
  return found;
}

function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** A word as it would be without letter-spacing: `inner` is what lies between the middles of its ends, em. */
function measured(characters, scale, [first, last]) {
  const [one, other] = [em(characters[first].text), em(characters[last].text)];
  const natural = em(characters.slice(first, last + 1).map(({ text }) => text).join(""));
  const from = scale * middle(characters[first]);
  const to = scale * middle(characters[last]);
  return { first, last, one, natural, inner: natural - (one + other) / 2, from, to, gaps: last - first };
}

/**
 * Where the words go.
 *
 * @param characters with `text`, `left` and `right` in columns of the image
 * @param scale displayed pixels a column
 * @param width px that there are
 * @param height of the image, px
 * @param family font family of the text
 * @returns {size, words: [{first, last, left, end, spacing}]} in px, spacing in em; null if the text cannot be set so
 */
export function setting(characters, scale, [width, height], family) {
  canvas.font = `100px ${family}`;
  const set = words(characters).map((ends) => measured(characters, scale, ends));
  const long = set.filter(({ gaps, inner }) => gaps && inner > 0);
  if (!long.length) return null;
  const size = Math.min(LARGEST, SHARE * height, 0.96 * median(long.map(({ from, to, inner }) => (to - from) / inner)));
  if (!(size >= SMALLEST)) return null;
  for (const word of set) {
    const spacing = word.gaps ? ((word.to - word.from) / size - word.inner) / word.gaps : 0;
    word.spacing = Math.max(TIGHTEST, Math.min(word.gaps > 3 ? SPACED : WIDEST, spacing));
    const taken = size * (word.inner + word.gaps * word.spacing);
    word.left = (word.from + word.to - taken - size * word.one) / 2;
    word.end = word.left + size * (word.natural + word.gaps * word.spacing);
  }
  const shift = Math.max(0, -set[0].left); // the first letter may stand at the very edge
  for (const word of set) Object.assign(word, { left: word.left + shift, end: word.end + shift });
  set.slice(1).forEach((word, index) => part(set[index], word, size));
  const last = set.at(-1);
  if (last.end > width && last.gaps) {
    last.spacing = Math.max(-0.12, last.spacing - (last.end - width) / size / last.gaps);
    last.end = last.left + size * (last.natural + last.gaps * last.spacing);
  }
  if (last.end > width) last.left -= last.end - width;
  const collide = set.some(({ end }, index) => end > (set[index + 1]?.left ?? Infinity));
  return collide ? null : { size, words: set };
}

/** Make room between two words, by setting both a little tighter. */
function part(one, next, size) {
  const lacking = BLANK * size - (next.left - one.end);
  if (lacking <= 0) return;
  const give = (word) => {
    if (word.gaps) word.spacing = Math.max(-0.12, word.spacing - lacking / 2 / size / word.gaps);
  };
  give(one);
  give(next);
  if (!one.gaps) one.left -= lacking / 2;
  one.end = one.left + size * (one.natural + one.gaps * one.spacing);
  next.left = Math.max(next.left + lacking / 2, one.end + (BLANK * size) / 2);
  next.end = next.left + size * (next.natural + next.gaps * next.spacing);
}

// SPDX-License-Identifier: Apache-2.0
// What was dropped, sorted into lines, pages with their regions, and sets to measure.

import { members } from "./archive.js";
import { stem } from "./dom.js";

const IMAGE = /\.(png|jpe?g|tiff?|webp|bmp|p[bgnp]m|jp2|gif)$/i;
const LAYOUT = /\.(xml|json)$/i;
const TRUTH = /\.gt\.txt$/i;

const MOST = 400; // images of a zip file that the page shows; whoever has more takes the command line
const PAGE = 2.5; // an image that is not this many times wider than high is a page,
const HIGH = 300; // if it is at least so high, px

const base = (name) => name.replace(/^.*[/\\]/, "");

/** What is in a zip file, as files; null if it holds ground truth or cannot be read here. */
async function opened(zip) {
  const inside = await members(zip).catch(() => null);
  if (!inside || inside.some(({ name }) => TRUTH.test(name) || /(^|\/)manifest\.tsv$/.test(name))) return null;
  const wanted = inside.filter(({ name }) => IMAGE.test(name) || LAYOUT.test(name)).slice(0, MOST);
  const files = await Promise.all(wanted.map(async ({ name, read }) => new File([await read()], base(name))));
  return { files, left: inside.filter(({ name }) => IMAGE.test(name)).length - wanted.filter(({ name }) => IMAGE.test(name)).length };
}

/** Width and height of an image; a PNG's are in its head and need no decoding. */
async function sizeOf(file) {
  const head = new DataView(await file.slice(0, 24).arrayBuffer());
  if (head.byteLength === 24 && head.getUint32(0) === 0x89504e47) return [head.getUint32(16), head.getUint32(20)];
  const image = await createImageBitmap(file);
  const size = [image.width, image.height];
  image.close();
  return size;
}

async function looksLikePage(file) {
  try {
    const [width, height] = await sizeOf(file);
    return height >= HIGH && width < PAGE * height;
  } catch {
    return false; // TIFF and the like: a layout document or the chooser says what they are
  }
}

/**
 * Sort files.
 *
 * @param files as they came
 * @param layout "line", "page", or "auto" to go by the images' shape
 * @returns {lines: [File], pages: [{image, regions}], sets: [[File]], notes: [text]}
 */
export async function sorted(files, layout) {
  const found = { lines: [], pages: [], sets: [], notes: [] };
  const loose = [];
  for (const file of files) {
    if (!/\.zip$/i.test(file.name)) {
      loose.push(file);
      continue;
    }
    const inside = await opened(file);
    if (!inside || !inside.files.length) found.sets.push([file]);
    else {
      loose.push(...inside.files);
      if (inside.left) found.notes.push(`${file.name}: the first ${MOST} images are read here, ${inside.left} are left.`);
    }
  }
  if (loose.some(({ name }) => TRUTH.test(name))) {
    found.sets.push(loose);
    return found;
  }
  const layouts = loose.filter(({ name }) => LAYOUT.test(name));
  const images = loose.filter((file) => !layouts.includes(file));
  for (const image of images) {
    const own = layouts.find(({ name }) => stem(name) === stem(image.name));
    const only = images.length === 1 && layouts.length === 1 ? layouts[0] : undefined;
    const regions = own ?? only ?? null;
    if (regions || layout === "page" || (layout === "auto" && (await looksLikePage(image)))) {
      found.pages.push({ image, regions });
    } else found.lines.push(image);
  }
  const used = new Set(found.pages.map(({ regions }) => regions));
  for (const alone of layouts.filter((file) => !used.has(file))) {
    found.notes.push(`${alone.name} describes a page whose image is not among the files; drop both together.`);
  }
  return found;
}

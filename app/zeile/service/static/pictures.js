// SPDX-License-Identifier: Apache-2.0
// Images as the browser shows them, and lines cut out of them.

import { make } from "./dom.js";
import { preview } from "./service.js";

async function loaded(blob, alt) {
  const image = make("img", { alt });
  const url = URL.createObjectURL(blob);
  image.src = url;
  try {
    await image.decode();
  } finally {
    URL.revokeObjectURL(url); // what is decoded stays
  }
  return image;
}

/** An <img> of a file; where the browser does not know its format (TIFF), the service converts it. */
export async function picture(file, alt) {
  try {
    return await loaded(file, alt);
  } catch {
    return loaded(await preview(file), alt);
  }
}

/** A canvas with the part of an image inside `box`, [left, top, right, bottom]. */
export function cut(image, [left, top, right, bottom], label) {
  const canvas = make("canvas", { width: Math.max(1, right - left), height: Math.max(1, bottom - top), role: "img", label });
  canvas.getContext("2d").drawImage(image, -left, -top);
  return canvas;
}

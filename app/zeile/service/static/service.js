// SPDX-License-Identifier: Apache-2.0
// The service's endpoints as promises; every failure is an Error whose message can be shown.

async function answer(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer; is it still running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.detail ?? `The service answers with status ${response.status}.`);
  return body;
}

function query(options) {
  const given = Object.entries(options).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function form(files) {
  const data = new FormData();
  for (const file of files) data.append("files", file, file.name);
  return data;
}

/** Facts of the running service. */
export const health = () => answer("healthz");

/** Models that can be asked for. */
export const models = async () => (await answer("v1/models")).models;

/** Reads one image; resolves to {lines: [line], model, engine, time_ms}. */
export const recognize = (file, options, signal) =>
  answer(`v1/recognize${query(options)}`, { method: "POST", body: form([file]), signal });

/** Reads a zip file, or images with their .gt.txt, and counts the errors. */
export const measure = (files, options) =>
  answer(`v1/measure${query(options)}`, { method: "POST", body: form(files) });

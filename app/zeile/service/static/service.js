// SPDX-License-Identifier: Apache-2.0
// The service's endpoints as promises; every failure is an Error whose message can be shown.

const PATIENCE_MS = 300_000; // a service that is busy is asked again for so long
const KEPT = "zeile-key"; // in the tab's storage, gone when the tab is

let key = sessionStorage.getItem(KEPT) ?? "";
let entering = null; // the one promise of a key that all requests wait for
let askForKey = async () => "";
let sayBusy = () => {};

/** `ask(why)` resolves to a key, or to "" if there is none to be had. */
export const whenKeyIsNeeded = (ask) => (askForKey = ask);

/** `say(seconds)` while the service is busy, `say(0)` afterwards. */
export const whenBusy = (say) => (sayBusy = say);

/** An answer that is no success; `status` is 0 without any answer. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

async function fetched(url, options) {
  const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
  try {
    return await fetch(url, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The service does not answer; is it still running?", 0);
  }
}

async function another(used, why) {
  if (key !== used) return true; // somebody else has entered one meanwhile
  entering ??= askForKey(why).finally(() => (entering = null));
  const entered = await entering;
  if (!entered) return false;
  key = entered;
  sessionStorage.setItem(KEPT, key);
  return true;
}

/** A good response; waits for a key, and for a service that is busy. */
export async function ask(url, options = {}) {
  const until = performance.now() + PATIENCE_MS;
  let waited = false;
  for (;;) {
    const used = key;
    const response = await fetched(url, options);
    if (response.ok) {
      if (waited) sayBusy(0);
      return response;
    }
    const problem = await response.json().catch(() => ({}));
    const after = Number(response.headers.get("retry-after"));
    const busy = after > 0 && [429, 503].includes(response.status) && performance.now() + 1000 * after < until;
    if (busy) {
      sayBusy(after);
      waited = true;
      await pause(1000 * after * (1 + 0.2 * Math.random()), options.signal);
    } else if (response.status !== 401 || !(await another(used, used ? problem.detail : ""))) {
      if (waited) sayBusy(0);
      throw new Refusal(problem.detail ?? `The service answers with status ${response.status}.`, response.status);
    }
  }
}

const json = async (url, options) => (await ask(url, options)).json();

function query(options) {
  const given = Object.entries(options).filter(([, value]) => value);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function form(files, field = "files") {
  const data = new FormData();
  for (const file of files) data.append(field, file, file.name);
  return data;
}

function pageForm(image, regions) {
  const data = form([image], "image");
  if (regions) data.append("regions", regions, regions.name);
  return data;
}

const post = (body, signal) => ({ method: "POST", body, signal });

export const info = () => json("v1/info");
export const ready = () => json("readyz");
export const models = () => json("v1/models");
export const load = (name, version) => json(`v1/models/${name}/${version}/load`, { method: "POST" });
export const unload = (name, version) => json(`v1/models/${name}/${version}/unload`, { method: "POST" });

/** Let an alias, or "default", mean another model from now on. */
export const point = (alias, target) =>
  json(`v1/aliases/${encodeURIComponent(alias)}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ target }),
  });

export const forget = (alias) => json(`v1/aliases/${encodeURIComponent(alias)}`, { method: "DELETE" });
export const closeCircuit = () => json("v1/device/close-circuit", { method: "POST" });

/** Reads one image of a line; resolves to {lines: [line], model, engine, provenance, time_ms}. */
export const recognize = (file, options, signal) =>
  json(`v1/recognize${query(options)}`, post(form([file]), signal));

/** Reads a page: with a layout document, or segmented by the service if `regions` is null. */
export const readPage = (image, regions, options, signal) =>
  json(`v1/pages${query({ ...options, segment: regions ? "" : 1 })}`, post(pageForm(image, regions), signal));

/** What was read of a line image, in one of the formats, as text. */
export const lineAs = async (file, options) => (await ask(`v1/recognize${query(options)}`, post(form([file])))).text();

/** What was read of a page, in one of the formats, as text. */
export const pageAs = async (image, regions, options) =>
  (await ask(`v1/pages${query({ ...options, segment: regions ? "" : 1 })}`, post(pageForm(image, regions)))).text();

/** An image as a browser shows it, as a Blob. */
export const preview = async (file) => (await ask("v1/preview", post(form([file])))).blob();

/** Begins to measure files; resolves to the job. */
export const beginMeasuring = (files, options) => json(`v1/jobs/measure${query(options)}`, post(form(files)));
export const jobs = async () => (await json("v1/jobs")).jobs;
export const job = (id) => json(`v1/jobs/${id}`);
export const cancel = (id) => ask(`v1/jobs/${id}`, { method: "DELETE" });

/** The live stream's response; `after` is the id of the last event seen. */
export const live = (after, signal) =>
  ask("v1/live", { signal, headers: { accept: "text/event-stream", ...(after && { "last-event-id": after }) } });

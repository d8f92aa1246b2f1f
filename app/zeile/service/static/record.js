// SPDX-License-Identifier: Apache-2.0
// The provenance of an answer: everything that decided it, each with its hash.

import { at, make, pairs, save } from "./dom.js";

let current = null;

const hash = (text) => (text ? make("code", {}, text) : null);
const joined = (facts) =>
  facts &&
  Object.entries(facts)
    .filter(([, value]) => value !== null && typeof value !== "object")
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");

/** A fact with a hash below it. */
function hashed(text, sha256) {
  if (!text && !sha256) return null;
  return make("span", {}, text ?? "", ...(sha256 ? [make("br"), hash(sha256)] : []));
}

const engineOf = ({ engine, ...rest }) => [engine, joined(rest)].filter(Boolean).join(" · ");

function rows(record) {
  const { model, options, software, decoder, overlay, engines, output, self_test: test } = record;
  return [
    ["Request", hash(record.request_id)],
    ["Time", record.time],
    ...(record.inputs ?? []).slice(0, 3).map((sha256, index) => [index ? "" : "Image", hash(sha256)]),
    ["Page", hash(record.page?.sha256)],
    ["Text and positions", hash(output?.sha256)],
    ["Model", model && hashed(`${model.name}/${model.version}, ${model.license ?? "no licence named"}`, model.sha256)],
    ["Trained on", model?.data?.join(", ")],
    ["Alphabet", hash(model?.alphabet_sha256)],
    ["Reading", options && `${options.reading}, ${options.beam ? `beam of ${options.beam}` : "best path"}`],
    ["Engine", engines?.map(engineOf).join("; ")],
    ["Overlay", overlay && hashed(`${overlay.name}${overlay.emulated ? ", emulated" : ""}`, overlay.files?.bit)],
    ["Self-test", test && joined(test)],
    ["Software", software && hashed(`${software.name} ${software.version}, Python ${software.python}`, software.source)],
    ["Decoder", joined(decoder)],
  ].filter(([, value]) => value);
}

const milliseconds = ({ total, ...stages }) =>
  `${total.toFixed(1)} (${Object.entries(stages).map(([name, value]) => `${name} ${value.toFixed(1)}`).join(", ")})`;

/** Show where an answer comes from, in a dialog. */
export function showRecord({ provenance, time_ms }) {
  current = provenance;
  at("record-facts").replaceChildren(...pairs([...rows(provenance), ["Milliseconds", milliseconds(time_ms)]]));
  at("record-replay").replaceChildren(
    "Whoever has the image can check this on any machine: ",
    make("code", {}, "zeile replay record.json line.png"),
  );
  at("record").showModal();
}

at("record-save").addEventListener("click", () => {
  save("record.json", `${JSON.stringify(current, null, 1)}\n`, "application/json");
});

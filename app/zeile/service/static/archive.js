// SPDX-License-Identifier: Apache-2.0
// Zip files, read and written in the browser: what is dropped is looked into, what is corrected is packed.
// ZIP64 and encryption are left to the service, which reads the file itself.

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

const bytesOf = async (blob) => new DataView(await blob.arrayBuffer());

/** The members of a zip file: [{name, size, read()}], folders left out; null if it is none that can be read here. */
export async function members(file) {
  const tail = await bytesOf(file.slice(-65_557));
  let at = tail.byteLength - 22;
  while (at >= 0 && tail.getUint32(at, true) !== END) at -= 1;
  if (at < 0) return null;
  const [length, offset] = [tail.getUint32(at + 12, true), tail.getUint32(at + 16, true)];
  const central = await bytesOf(file.slice(offset, offset + length));
  if (central.byteLength !== length) return null;
  const found = [];
  for (let here = 0; here + 46 <= length && central.getUint32(here, true) === CENTRAL; ) {
    const name = new Uint8Array(central.buffer, here + 46, central.getUint16(here + 28, true));
    const [packed, size] = [central.getUint32(here + 20, true), central.getUint32(here + 24, true)];
    const [method, from] = [central.getUint16(here + 10, true), central.getUint32(here + 42, true)];
    const read = () => unpacked(file, from, packed, method);
    found.push({ name: new TextDecoder().decode(name), size, read });
    here += 46 + name.length + central.getUint16(here + 30, true) + central.getUint16(here + 32, true);
  }
  return found.filter(({ name }) => !name.endsWith("/"));
}

async function unpacked(file, from, packed, method) {
  const head = await bytesOf(file.slice(from, from + 30));
  if (head.byteLength < 30 || head.getUint32(0, true) !== LOCAL) throw new Error("the zip file is damaged");
  const start = from + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const data = file.slice(start, start + packed);
  if (method === 0) return data;
  if (method !== 8) throw new Error(`the zip file is packed by method ${method}, which is not read here`);
  return new Response(data.stream().pipeThrough(new DecompressionStream("deflate-raw"))).blob();
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Little-endian fields, [bytes, value] each, behind one another. */
function fields(...values) {
  const view = new DataView(new ArrayBuffer(values.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of values) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return view.buffer;
}

/** A zip file of [name, Blob or text], not compressed: images and XML of a few lines are small. */
export async function packed(entries) {
  const [parts, central] = [[], []];
  let offset = 0;
  for (const [name, content] of entries) {
    const data = new Uint8Array(await new Blob([content]).arrayBuffer());
    const label = new TextEncoder().encode(name);
    // Needs version 2.0, names in UTF-8, stored, 1 January 1980.
    const facts = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc(data)], [4, data.length], [4, data.length]];
    const lengths = [[2, label.length], [2, 0]];
    parts.push(fields([4, LOCAL], ...facts, ...lengths), label, data);
    central.push(fields([4, CENTRAL], [2, 20], ...facts, ...lengths, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), label);
    offset += 30 + label.length + data.length;
  }
  const size = central.reduce((sum, part) => sum + part.byteLength, 0);
  const count = entries.length;
  const end = fields([4, END], [2, 0], [2, 0], [2, count], [2, count], [4, size], [4, offset], [2, 0]);
  return new Blob([...parts, ...central, end], { type: "application/zip" });
}

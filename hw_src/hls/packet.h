// SPDX-License-Identifier: Apache-2.0
// Packets between the host and the core: little-endian 64-bit words, TLAST on the last one. Every packet to the core is
// answered by exactly one, in order. app/zeile/hw/packets.py is the other side.
//
//   word 0   [7:0] magic, [15:8] ABI, [23:16] kind, [31:24] emits or target, [47:32] tag, [63:48] 0
//   word 1   [31:0] count, [63:32] address (LOAD, READ), detail (ERROR), classes (answer to INFER), else 0
//   payload
//   trailer  [31:0] CRC-32 of all words before it, [63:32] cycles the packet took (answers; to the core only INFER and
//            LOAD have one)
#pragma once

#include <ap_axi_sdata.h>
#include <ap_int.h>

#include <cstdint>

namespace zeile {

using Beat = ap_axiu<64, 0, 0, 0>;

constexpr int kMagic = 0x5A;
constexpr int kAbi = 2;
constexpr int kAnswer = 0x80;  // is set in the kind of an answer

constexpr int kInfer = 1;   // frames of a line; answered with its scores or best labels
constexpr int kLoad = 2;    // words for a memory
constexpr int kCommit = 3;  // what was loaded is a model: K, model id
constexpr int kReadBack = 4;
constexpr int kEcho = 5;
constexpr int kStatus = 6;
constexpr int kError = 0xFF;

constexpr int kBadMagic = 1;
constexpr int kUnknownKind = 2;
constexpr int kTooLong = 3;
constexpr int kShortPacket = 4;
constexpr int kLongPacket = 5;
constexpr int kCrcMismatch = 6;
constexpr int kNoModel = 7;
constexpr int kBadAddress = 8;
constexpr int kBadClasses = 9;

constexpr int kStatusWords = 16;
constexpr int kEchoWords = 512;  // longest echo: it is answered only when all of it is there

// What Send needs to know to answer a packet. Receive gives it when the whole packet is judged.
struct Packet {
  ap_uint<8> kind;           // of the question; kError if it is refused
  ap_uint<8> field;          // emits or target
  ap_uint<16> tag;           //
  ap_uint<32> count;         // frames; payload words of the answer; the code of an error
  ap_uint<32> detail;        // of an error
  ap_uint<16> classes;       // K
  bool line;                 // scores of a line will come, wanted or not
  unsigned long long begun;  // cycle of the first word
};

// One for each answer that has left: Receive waits for them before it touches the configuration chain.
using Retired = ap_uint<1>;

// A beat of the core, TKEEP all ones.
inline Beat MakeBeat(uint64_t word, bool last) {
#pragma HLS INLINE
  Beat beat;
  beat.data = word;
  beat.keep = 0xFF;
  beat.strb = 0xFF;
  beat.last = last;
  return beat;
}

inline uint64_t HeaderWord(uint64_t kind, uint64_t field, uint64_t tag) {
#pragma HLS INLINE
  return kMagic | kAbi << 8 | kind << 16 | field << 24 | tag << 32;
}

}  // namespace zeile

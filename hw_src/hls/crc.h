// SPDX-License-Identifier: Apache-2.0
// CRC-32 (zlib's, polynomial 0xEDB88320 reflected) of a stream of 64-bit words, low byte first, a word a cycle.
#pragma once

#include <cstdint>

namespace zeile {

constexpr uint32_t kCrcStart = 0xFFFFFFFF;

// The remainder after `bits` zero bits.
constexpr uint32_t CrcShift(uint32_t remainder, int bits) {
  for (int i = 0; i < bits; ++i) remainder = (remainder >> 1) ^ ((remainder & 1) ? 0xEDB88320u : 0u);
  return remainder;
}

// The CRC is linear: row i is what bit i of a word contributes to the remainder behind the word. A bit enters where the
// remainder's lowest bit is and goes through 64 - i shifts.
struct CrcRows {
  uint32_t row[64];
  constexpr CrcRows() : row() {
    for (int i = 0; i < 64; ++i) row[i] = CrcShift(1, 64 - i);
  }
};

// The remainder behind one more word: an XOR tree of 64 gated constants, 5 or 6 inputs deep in LUTs.
inline uint32_t CrcWord(uint32_t remainder, uint64_t word) {
#pragma HLS INLINE
  constexpr CrcRows kRows;
  const uint64_t bits = word ^ remainder;
  uint32_t tree[64];
#pragma HLS ARRAY_PARTITION variable = tree type = complete dim = 0
Crc_Gate:
  for (int i = 0; i < 64; ++i) {
#pragma HLS UNROLL
    tree[i] = ((bits >> i) & 1) ? kRows.row[i] : 0u;
  }
Crc_Reduce:
  for (int width = 32; width > 0; width /= 2) {
#pragma HLS UNROLL
    for (int i = 0; i < width; ++i) {
#pragma HLS UNROLL
      tree[i] ^= tree[i + width];
    }
  }
  return tree[0];
}

// What stands in a packet.
inline uint32_t CrcResult(uint32_t remainder) {
#pragma HLS INLINE
  return ~remainder;
}

}  // namespace zeile

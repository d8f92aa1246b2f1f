// SPDX-License-Identifier: Apache-2.0
// The policy of AVX-512 with VNNI: vpdpbusd does a whole block in one instruction, in exact 32-bit sums; the
// vectors of 256 bits behind it are those of AVX2.
#pragma once

#include "simd_avx2.hpp"

namespace zeile {
namespace {

struct Avx512Vnni : Vectors256 {
  static constexpr int kOrder[kTile] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static constexpr bool kPairsSaturate = false;
  static constexpr int kOffset = 0;
  static constexpr int kSums =
      16;  // half the registers; four cycles of latency at two instructions a cycle need 8
  static constexpr int kInputs = 8;
  static constexpr int kPixels = 8;  // pixels of a block of a convolution

  using Weights = __m512i;
  using Quad = __m512i;
  struct Narrow {
    __m512i v;
  };
  struct Wide {
    __m512i v;
  };

  static Weights load_weights(const int8_t* from) { return _mm512_loadu_si512(from); }
  static Quad broadcast(const uint8_t* from) {
    int32_t quad;
    std::memcpy(&quad, from, sizeof quad);
    return _mm512_set1_epi32(quad);
  }
  // Makes the compiler forget the value (for measurements).
  static void hide(Quad& quad) {
#if defined(ZEILE_SIMDE)
    asm volatile("" : "+m"(quad));
#else
    asm volatile("" : "+v"(quad));
#endif
  }
  template <class Sum>
  static void mac(Sum& sum, Weights weights, Quad quad) {
    sum.v = _mm512_dpbusd_epi32(sum.v, quad, weights);
  }
  static Shorts sums(const Narrow& sum) {
#if defined(ZEILE_SIMDE)  // which lacks vpmovdw
    int32_t wide[kTile];
    int16_t low[kTile];
    _mm512_storeu_si512(wide, sum.v);
    for (int i = 0; i < kTile; ++i) low[i] = int16_t(wide[i]);
    return load_shorts(low);
#else
    return _mm512_cvtepi32_epi16(sum.v);
#endif
  }
  static void sums(const Wide& sum, int32_t* out) { _mm512_storeu_si512(out, sum.v); }
};

}  // namespace
}  // namespace zeile

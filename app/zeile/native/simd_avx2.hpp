// SPDX-License-Identifier: Apache-2.0
// The policy of AVX2: pmaddubsw multiplies unsigned codes by signed weights, two sums of 16 bits a row.
#pragma once

#if defined(ZEILE_SIMDE)
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#else
#include <immintrin.h>
#endif

#include <cstring>

#include "kernels.hpp"

namespace zeile {
namespace {

// Shorts and Bytes, shared with AVX-512.
struct Vectors256 {
  static constexpr int kBytes = 32;
  using Shorts = __m256i;
  using Bytes = __m256i;

  static __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

  static Shorts load_shorts(const int16_t* from) { return load(from); }
  static void store_shorts(int16_t* to, Shorts a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), a); }
  static Shorts add(Shorts a, Shorts b) { return _mm256_add_epi16(a, b); }
  static Shorts subtract_shorts(Shorts a, Shorts b) { return _mm256_sub_epi16(a, b); }
  static Shorts half(Shorts a) { return _mm256_srai_epi16(a, 1); }
  static Shorts larger_short(Shorts a, Shorts b) { return _mm256_max_epi16(a, b); }
  static Shorts mul_low(Shorts a, Shorts b) { return _mm256_mullo_epi16(a, b); }
  static Shorts widen(const uint8_t* from) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Shorts rescale(Shorts a, Shorts m) { return _mm256_mulhrs_epi16(a, m); }
  static void store_unsigned(uint8_t* to, Shorts a, int top) {
    const Shorts low = _mm256_min_epi16(a, _mm256_set1_epi16(int16_t(top)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packus_epi16(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)));
  }
  static void store_signed(int8_t* to, Shorts a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm_packs_epi16(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
  }

  using Taps = __m256i;
  static Taps load_taps(const int8_t* from) { return load(from); }
  static Shorts tap(Taps taps, const uint8_t* codes) {
    struct Two {
      uint8_t v[2];
    };
    __m256i both;  // from memory; the compiler would go through general registers
    asm("vpbroadcastw %1, %0" : "=x"(both) : "m"(*reinterpret_cast<const Two*>(codes)));
    return _mm256_maddubs_epi16(both, taps);
  }

  static Bytes load_bytes(const void* from) { return load(from); }
  static void store_bytes(void* to, Bytes a) { _mm256_storeu_si256(static_cast<__m256i*>(to), a); }
  static Bytes load_table(const int8_t* from) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  }
  static Bytes splat(int8_t value) { return _mm256_set1_epi8(value); }
  static Bytes greater(Bytes a, Bytes b) { return _mm256_cmpgt_epi8(a, b); }
  static Bytes both(Bytes a, Bytes b) { return _mm256_and_si256(a, b); }
  static Bytes either(Bytes a, Bytes b) { return _mm256_or_si256(a, b); }
  static Bytes subtract(Bytes a, Bytes b) { return _mm256_sub_epi8(a, b); }
  static Bytes smaller(Bytes a, Bytes b) { return _mm256_min_epi8(a, b); }
  static Bytes larger(Bytes a, Bytes b) { return _mm256_max_epi8(a, b); }
  static Bytes lookup(Bytes table, Bytes index) { return _mm256_shuffle_epi8(table, index); }
  static Bytes mix(Bytes a, Bytes b, Bytes c, Bytes d, int16_t m) {
    const __m256i scale = _mm256_set1_epi16(m);
    const __m256i low = _mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, c), _mm256_unpacklo_epi8(b, d));
    const __m256i high = _mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, c), _mm256_unpackhi_epi8(b, d));
    return _mm256_packs_epi16(_mm256_mulhrs_epi16(low, scale), _mm256_mulhrs_epi16(high, scale));
  }
};

struct Avx2 : Vectors256 {
  // Horizontal adds join two vectors half by half; this order makes the rows come out straight.
  static constexpr int kOrder[kTile] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15};
  static constexpr bool kPairsSaturate = true;
  static constexpr int kOffset = 0;
  static constexpr int kSums = 6;  // 12 of 16 registers
  static constexpr int kInputs = 6;
  static constexpr int kPixels = 4;  // pixels of a block of a convolution

  struct Weights {
    __m256i v[2];
  };
  using Quad = __m256i;
  struct Narrow {
    __m256i v[2];
  };
  struct Wide {
    __m256i v[2];
  };

  static Weights load_weights(const int8_t* from) { return {{load(from), load(from + 32)}}; }
  static Quad broadcast(const uint8_t* from) {
    int32_t quad;
    std::memcpy(&quad, from, sizeof quad);
    return _mm256_set1_epi32(quad);
  }
  // Makes the compiler forget the value (for measurements).
  static void hide(Quad& quad) { asm volatile("" : "+x"(quad)); }
  static void mac(Narrow& sum, const Weights& weights, Quad quad) {
    sum.v[0] = _mm256_add_epi16(sum.v[0], _mm256_maddubs_epi16(quad, weights.v[0]));
    sum.v[1] = _mm256_add_epi16(sum.v[1], _mm256_maddubs_epi16(quad, weights.v[1]));
  }
  static void mac(Wide& sum, const Weights& weights, Quad quad) {
    const __m256i ones = _mm256_set1_epi16(1);
    sum.v[0] = _mm256_add_epi32(sum.v[0], _mm256_madd_epi16(_mm256_maddubs_epi16(quad, weights.v[0]), ones));
    sum.v[1] = _mm256_add_epi32(sum.v[1], _mm256_madd_epi16(_mm256_maddubs_epi16(quad, weights.v[1]), ones));
  }
  static Shorts sums(const Narrow& sum) { return _mm256_hadd_epi16(sum.v[0], sum.v[1]); }
  static void sums(const Wide& sum, int32_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permute2x128_si256(sum.v[0], sum.v[1], 0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8),
                        _mm256_permute2x128_si256(sum.v[0], sum.v[1], 0x31));
  }
};

}  // namespace
}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// The policy in plain C++, and with it the meaning of each primitive. The other simd_*.hpp differ only in
// registers.
//
// Weights are a block (kTile rows by kQuad inputs), a Quad is four input codes for every row. A policy whose
// `kOffset` is 128 multiplies signed bytes, code - 128; packing corrects the biases.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels.hpp"

namespace zeile {
namespace {

struct Portable {
  static constexpr int kOrder[kTile] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static constexpr bool kPairsSaturate = false;
  static constexpr int kOffset = 0;
  static constexpr int kSums = 2;    // tiles' sums that fit into registers
  static constexpr int kInputs = 2;  // inputs of a block
  static constexpr int kPixels = 4;  // pixels of a block of a convolution
  static constexpr int kBytes = 16;  // size of Bytes

  struct Weights {
    int8_t v[kBlock];
  };
  struct Quad {
    uint8_t v[kQuad];
  };
  struct Narrow {
    int32_t v[kTile];
  };
  struct Wide {
    int32_t v[kTile];
  };
  struct Shorts {
    int16_t v[kTile];
  };
  struct Bytes {
    int8_t v[kBytes];
  };

  static Weights load_weights(const int8_t* from) { return get<Weights>(from); }
  static Quad broadcast(const uint8_t* from) { return get<Quad>(from); }
  // Makes the compiler forget the value (for measurements).
  static void hide(Quad& quad) { asm volatile("" : "+m"(quad.v)); }
  template <class Sum>
  static void mac(Sum& sum, const Weights& weights, const Quad& quad) {
    for (int r = 0; r < kTile; ++r) {
      for (int k = 0; k < kQuad; ++k) sum.v[r] += weights.v[r * kQuad + k] * quad.v[k];
    }
  }
  // Sums in row order; of Narrow, modulo 2^16.
  static Shorts sums(const Narrow& sum) {
    return each<Shorts>([&](int i) { return sum.v[i]; });
  }
  static void sums(const Wide& sum, int32_t* out) { std::memcpy(out, sum.v, sizeof sum.v); }

  // kTile lanes of 16 bits, wrapping.
  static Shorts load_shorts(const int16_t* from) { return get<Shorts>(from); }
  static void store_shorts(int16_t* to, const Shorts& a) { std::memcpy(to, a.v, sizeof a.v); }
  static Shorts add(const Shorts& a, const Shorts& b) {
    return each<Shorts>([&](int i) { return a.v[i] + b.v[i]; });
  }
  static Shorts subtract_shorts(const Shorts& a, const Shorts& b) {
    return each<Shorts>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static Shorts half(const Shorts& a) {  // of even numbers
    return each<Shorts>([&](int i) { return a.v[i] >> 1; });
  }
  static Shorts larger_short(const Shorts& a, const Shorts& b) {
    return each<Shorts>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Shorts mul_low(const Shorts& a, const Shorts& b) {
    return each<Shorts>([&](int i) { return a.v[i] * b.v[i]; });
  }
  static Shorts widen(const uint8_t* from) {
    return each<Shorts>([&](int i) { return from[i]; });
  }
  // R(a * m), m not negative.
  static Shorts rescale(const Shorts& a, const Shorts& m) {
    return each<Shorts>([&](int i) { return (a.v[i] * m.v[i] + (1 << 14)) >> 15; });
  }
  static void store_unsigned(uint8_t* to, const Shorts& a, int top) {
    for (int i = 0; i < kTile; ++i) to[i] = uint8_t(a.v[i] < 0 ? 0 : a.v[i] > top ? top : a.v[i]);
  }
  static void store_signed(int8_t* to, const Shorts& a) {
    for (int i = 0; i < kTile; ++i) to[i] = saturate(a.v[i]);
  }

  // kBytes lanes of signed bytes; masks are 0 or -1.
  // For each lane the product of two taps with two codes, which are at most 127.
  using Taps = Weights;  // of which half
  static Taps load_taps(const int8_t* from) {
    Taps taps{};
    std::memcpy(taps.v, from, 2 * kTile);
    return taps;
  }
  static Shorts tap(const Taps& taps, const uint8_t* codes) {
    return each<Shorts>([&](int i) { return taps.v[2 * i] * codes[0] + taps.v[2 * i + 1] * codes[1]; });
  }

  static Bytes load_bytes(const void* from) { return get<Bytes>(from); }
  static void store_bytes(void* to, const Bytes& a) { std::memcpy(to, a.v, sizeof a.v); }
  static Bytes load_table(const int8_t* from) { return get<Bytes>(from); }  // 16 entries
  static Bytes splat(int8_t value) {
    return each<Bytes>([&](int) { return value; });
  }
  static Bytes greater(const Bytes& a, const Bytes& b) {
    return each<Bytes>([&](int i) { return a.v[i] > b.v[i] ? -1 : 0; });
  }
  static Bytes both(const Bytes& a, const Bytes& b) {
    return each<Bytes>([&](int i) { return a.v[i] & b.v[i]; });
  }
  static Bytes either(const Bytes& a, const Bytes& b) {
    return each<Bytes>([&](int i) { return a.v[i] | b.v[i]; });
  }
  static Bytes subtract(const Bytes& a, const Bytes& b) {
    return each<Bytes>([&](int i) { return a.v[i] - b.v[i]; });
  }
  static Bytes smaller(const Bytes& a, const Bytes& b) {
    return each<Bytes>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Bytes larger(const Bytes& a, const Bytes& b) {
    return each<Bytes>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static Bytes lookup(const Bytes& table, const Bytes& index) {  // index 0 ... 15
    return each<Bytes>([&](int i) { return table.v[index.v[i]]; });
  }
  // R((a * b + c * d) * m), saturated to a byte; a and c are not negative, the sum of products fits 16 bits.
  static Bytes mix(const Bytes& a, const Bytes& b, const Bytes& c, const Bytes& d, int16_t m) {
    return each<Bytes>(
        [&](int i) { return saturate(((a.v[i] * b.v[i] + c.v[i] * d.v[i]) * m + (1 << 14)) >> 15); });
  }

 private:
  static int8_t saturate(int value) { return int8_t(value < -128 ? -128 : value > 127 ? 127 : value); }
  template <class T>
  static T get(const void* from) {
    T value;
    std::memcpy(value.v, from, sizeof value.v);
    return value;
  }
  template <class T, class F>
  static T each(const F& f) {
    T result;
    for (size_t i = 0; i < sizeof result.v / sizeof result.v[0]; ++i) {
      result.v[i] = static_cast<std::remove_reference_t<decltype(result.v[0])>>(f(int(i)));
    }
    return result;
  }
};

}  // namespace
}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// The policies of 64-bit ARM: plain NEON (signed products into 16-bit sums) and NEON with the dot product
// instruction.
//
// sqrdmulh gives (2 a m + 2^15) >> 16, which is R(a * m); it saturates only for a = m = -2^15, and m is never
// negative.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "kernels.hpp"

namespace zeile {
namespace {

struct VectorsNeon {
  static constexpr int kOrder[kTile] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static constexpr bool kPairsSaturate = false;
  static constexpr int kOffset = 128;
  static constexpr int kBytes = 16;

  struct Weights {
    int8x16_t v[4];
  };
  using Quad = int8x16_t;
  struct Shorts {
    int16x8_t v[2];
  };
  using Bytes = int8x16_t;

  static Weights load_weights(const int8_t* from) {
    return {{vld1q_s8(from), vld1q_s8(from + 16), vld1q_s8(from + 32), vld1q_s8(from + 48)}};
  }
  static Quad broadcast(const uint8_t* from) {
    uint32_t quad;
    std::memcpy(&quad, from, sizeof quad);
    return vreinterpretq_s8_u32(vdupq_n_u32(quad ^ 0x80808080u));
  }
  // Makes the compiler forget the value (for measurements).
  static void hide(Quad& quad) { asm volatile("" : "+w"(quad)); }

  static Shorts load_shorts(const int16_t* from) { return {{vld1q_s16(from), vld1q_s16(from + 8)}}; }
  static void store_shorts(int16_t* to, const Shorts& a) {
    vst1q_s16(to, a.v[0]);
    vst1q_s16(to + 8, a.v[1]);
  }
  static Shorts add(const Shorts& a, const Shorts& b) {
    return {{vaddq_s16(a.v[0], b.v[0]), vaddq_s16(a.v[1], b.v[1])}};
  }
  static Shorts subtract_shorts(const Shorts& a, const Shorts& b) {
    return {{vsubq_s16(a.v[0], b.v[0]), vsubq_s16(a.v[1], b.v[1])}};
  }
  static Shorts half(const Shorts& a) { return {{vshrq_n_s16(a.v[0], 1), vshrq_n_s16(a.v[1], 1)}}; }
  static Shorts larger_short(const Shorts& a, const Shorts& b) {
    return {{vmaxq_s16(a.v[0], b.v[0]), vmaxq_s16(a.v[1], b.v[1])}};
  }
  static Shorts mul_low(const Shorts& a, const Shorts& b) {
    return {{vmulq_s16(a.v[0], b.v[0]), vmulq_s16(a.v[1], b.v[1])}};
  }
  static Shorts widen(const uint8_t* from) {
    const uint8x16_t codes = vld1q_u8(from);
    return {
        {vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes))), vreinterpretq_s16_u16(vmovl_high_u8(codes))}};
  }
  static Shorts rescale(const Shorts& a, const Shorts& m) {
    return {{vqrdmulhq_s16(a.v[0], m.v[0]), vqrdmulhq_s16(a.v[1], m.v[1])}};
  }
  static void store_unsigned(uint8_t* to, const Shorts& a, int top) {
    const int16x8_t limit = vdupq_n_s16(int16_t(top));
    vst1q_u8(to, vcombine_u8(vqmovun_s16(vminq_s16(a.v[0], limit)), vqmovun_s16(vminq_s16(a.v[1], limit))));
  }
  static void store_signed(int8_t* to, const Shorts& a) {
    vst1q_s8(to, vcombine_s8(vqmovn_s16(a.v[0]), vqmovn_s16(a.v[1])));
  }

  struct Taps {
    int8x16x2_t v;  // first and second tap of the rows
  };
  static Taps load_taps(const int8_t* from) { return {vld2q_s8(from)}; }
  static Shorts tap(const Taps& taps, const uint8_t* codes) {
    const int8x16_t first = vdupq_n_s8(int8_t(codes[0])), second = vdupq_n_s8(int8_t(codes[1]));
    const int8x16_t a = taps.v.val[0], b = taps.v.val[1];
    return {{vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(first)), vget_low_s8(b), vget_low_s8(second)),
             vmlal_high_s8(vmull_high_s8(a, first), b, second)}};
  }

  static Bytes load_bytes(const void* from) { return vld1q_s8(static_cast<const int8_t*>(from)); }
  static void store_bytes(void* to, Bytes a) { vst1q_s8(static_cast<int8_t*>(to), a); }
  static Bytes load_table(const int8_t* from) { return vld1q_s8(from); }
  static Bytes splat(int8_t value) { return vdupq_n_s8(value); }
  static Bytes greater(Bytes a, Bytes b) { return vreinterpretq_s8_u8(vcgtq_s8(a, b)); }
  static Bytes both(Bytes a, Bytes b) { return vandq_s8(a, b); }
  static Bytes either(Bytes a, Bytes b) { return vorrq_s8(a, b); }
  static Bytes subtract(Bytes a, Bytes b) { return vsubq_s8(a, b); }
  static Bytes smaller(Bytes a, Bytes b) { return vminq_s8(a, b); }
  static Bytes larger(Bytes a, Bytes b) { return vmaxq_s8(a, b); }
  static Bytes lookup(Bytes table, Bytes index) { return vqtbl1q_s8(table, vreinterpretq_u8_s8(index)); }
  static Bytes mix(Bytes a, Bytes b, Bytes c, Bytes d, int16_t m) {
    const int16x8_t low = vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(b)), vget_low_s8(c), vget_low_s8(d));
    const int16x8_t high = vmlal_high_s8(vmull_high_s8(a, b), c, d);
    return vcombine_s8(vqmovn_s16(vqrdmulhq_n_s16(low, m)), vqmovn_s16(vqrdmulhq_n_s16(high, m)));
  }

  // Row sums of 32 bits.
  struct Wide {
    int32x4_t v[4];
  };
  static void sums(const Wide& sum, int32_t* out) {
    for (int i = 0; i < 4; ++i) vst1q_s32(out + 4 * i, sum.v[i]);
  }
};

#if defined(ZEILE_DOTPROD)

struct NeonDotprod : VectorsNeon {
  static constexpr int kSums = 6;  // 24 of 32 registers
  static constexpr int kInputs = 6;
  static constexpr int kPixels = 4;

  struct Narrow : Wide {};

  static void mac(Wide& sum, const Weights& weights, Quad quad) {
    for (int i = 0; i < 4; ++i) sum.v[i] = vdotq_s32(sum.v[i], weights.v[i], quad);
  }
  using VectorsNeon::sums;
  static Shorts sums(const Narrow& sum) {
    return {{vmovn_high_s32(vmovn_s32(sum.v[0]), sum.v[1]), vmovn_high_s32(vmovn_s32(sum.v[2]), sum.v[3])}};
  }
};

#else

struct Neon : VectorsNeon {
  static constexpr int kSums = 3;  // 24 of 32 registers
  static constexpr int kInputs = 3;
  static constexpr int kPixels = 2;

  struct Narrow {
    int16x8_t v[8];  // two rows each, four sums a row
  };

  static void mac(Narrow& sum, const Weights& weights, Quad quad) {
    for (int i = 0; i < 4; ++i) {
      sum.v[2 * i] = vmlal_s8(sum.v[2 * i], vget_low_s8(weights.v[i]), vget_low_s8(quad));
      sum.v[2 * i + 1] = vmlal_high_s8(sum.v[2 * i + 1], weights.v[i], quad);
    }
  }
  static void mac(Wide& sum, const Weights& weights, Quad quad) {
    for (int i = 0; i < 4; ++i) {
      const int16x8_t low = vmull_s8(vget_low_s8(weights.v[i]), vget_low_s8(quad));
      const int16x8_t high = vmull_high_s8(weights.v[i], quad);
      sum.v[i] = vaddq_s32(sum.v[i], vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
    }
  }
  using VectorsNeon::sums;
  static Shorts sums(const Narrow& sum) {
    int16x8_t pairs[4];
    for (int i = 0; i < 4; ++i) pairs[i] = vpaddq_s16(sum.v[2 * i], sum.v[2 * i + 1]);
    return {{vpaddq_s16(pairs[0], pairs[1]), vpaddq_s16(pairs[2], pairs[3])}};
  }
};

#endif

}  // namespace
}  // namespace zeile

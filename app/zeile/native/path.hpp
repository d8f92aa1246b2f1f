// SPDX-License-Identifier: Apache-2.0
// Makes a path's table of kernels from its policy.
#pragma once

#include "pairs.hpp"
#include "recurrent.hpp"
#include "taps.hpp"

namespace zeile {

// Multiplies from registers as fast as the instruction set allows: the peak that the engine is measured
// against.
template <class S>
double spin(long rounds) {
  constexpr int kN = S::kInputs > 4 ? S::kInputs - 2 : S::kInputs, kM = tiles_beside<S, S::kInputs>();
  alignas(64) const int8_t ones[kM * kBlock] = {1};
  const int8_t* weight = ones;
  asm volatile("" : "+r"(weight) : : "memory");  // the compiler shall not know the values
  typename S::Weights weights[kM];
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m) weights[m] = S::load_weights(weight + m * kBlock);
  typename S::Quad quad = S::broadcast(reinterpret_cast<const uint8_t*>(weight));
  typename S::Narrow sum[kN][kM] = {};
  for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int n = 0; n < kN; ++n) {
      S::hide(quad);
#pragma GCC unroll 8
      for (int m = 0; m < kM; ++m) S::mac(sum[n][m], weights[m], quad);
    }
  }
  int16_t out[kTile];
#pragma GCC unroll 8
  for (int n = 0; n < kN; ++n) {
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
      S::store_shorts(out, S::sums(sum[n][m]));
      asm volatile("" : : "r"(out) : "memory");
    }
  }
  return double(rounds) * kN * kM * kBlock;
}

template <class S>
void conv(const ConvJob& job) {
  if (job.matrix->taps) return conv_taps<S>(job);
  if (job.matrix->pairs) return conv_pairs<S>(job);
  job.matrix->narrow ? conv_pooled<S, typename S::Narrow>(job) : conv_pooled<S, typename S::Wide>(job);
}

template <class S>
Kernels kernels_of(const char* name) {
  static_assert(S::kInputs <= kMaxSlots, "a step's slots are one block of inputs");
  static_assert(kUnits % S::kBytes == 0, "gates are computed a whole vector at a time");
  Kernels kernels{};
  kernels.name = name;
  for (int i = 0; i < kTile; ++i) kernels.order[i] = S::kOrder[i];
  kernels.pairs_saturate = S::kPairsSaturate;
  kernels.offset = S::kOffset;
  kernels.slots = S::kInputs;
  kernels.window = S::kPixels < 4 ? S::kPixels : 4;
  kernels.conv = conv<S>;
  kernels.pool = pool<S>;
  kernels.dense = dense<S>;
  kernels.project = project<S>;
  kernels.step = step<S>;
  kernels.spin = spin<S>;
  return kernels;
}

}  // namespace zeile

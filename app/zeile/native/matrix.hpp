// SPDX-License-Identifier: Apache-2.0
// The inner product of everything: a block of inputs times a block of tiles, sums in registers.
//
// A policy S gives the vector types and about two dozen primitives; see simd_portable.hpp for their meaning.
// `Sum` is S::Narrow (exact modulo 2^16) or S::Wide (exact modulo 2^32). `finish(tile, sum)` takes the sums
// of the N inputs; it is a value of plain pointers, which the compiler keeps in registers (behind a
// reference, any byte stored might change it).
#pragma once

#include "kernels.hpp"

namespace zeile {

// Tiles that share a block with N inputs: a power of two, so that usual row counts divide well.
template <class S, int N>
constexpr int tiles_beside() {
  int tiles = 1;
  while (2 * tiles * N <= S::kSums && tiles < 8) tiles *= 2;
  return tiles;
}

template <class S, class Sum, int N, int M, class Finish>
[[gnu::always_inline]] inline void multiply_block(const Matrix& matrix, int tile, const uint8_t* const* in,
                                                  Finish finish) {
  const size_t tile_bytes = size_t(matrix.parts) * matrix.runs * matrix.quads * kBlock;
  const int8_t* weight = matrix.weight + tile * tile_bytes;
  const uint8_t* x[N];
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n) x[n] = in[n];
  Sum sum[M][N] = {};
  for (int part = 0; part < matrix.parts; ++part) {
    size_t start = 0;
    for (int run = 0; run < matrix.runs; ++run, start += matrix.stride) {
      size_t at = start;
      for (const size_t end = start + size_t(matrix.quads) * kQuad; at < end; at += kQuad, weight += kBlock) {
        typename S::Weights weights[M];
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) weights[m] = S::load_weights(weight + m * tile_bytes);
#pragma GCC unroll 8
        for (int n = 0; n < N; ++n) {
          const typename S::Quad quad = S::broadcast(x[n] + at);
#pragma GCC unroll 8
          for (int m = 0; m < M; ++m) S::mac(sum[m][n], weights[m], quad);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) finish(tile + m, sum[m]);
}

// A finish for each input alone: calls one(n, tile, sum).
template <class One>
struct Each {
  One one;

  template <class Sum, int N>
  [[gnu::always_inline]] void operator()(int tile, const Sum (&sum)[N]) const {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) one(n, tile, sum[n]);
  }
};
template <class One>
Each(One) -> Each<One>;

// All tiles of the matrix for N inputs; `backwards` visits them from last to first. Not inlined, so that the
// block's pointers have all registers to themselves.
template <class S, class Sum, int N, class Finish>
[[gnu::noinline]] void multiply_tiles(const Matrix& matrix, const uint8_t* const* in, bool backwards,
                                      Finish finish) {
  constexpr int kTiles = tiles_beside<S, N>();
  const int blocks = matrix.tiles / kTiles;
  for (int i = 0; i < blocks; ++i) {
    const int block = backwards ? blocks - 1 - i : i;
    multiply_block<S, Sum, N, kTiles>(matrix, block * kTiles, in, finish);
  }
  for (int tile = blocks * kTiles; tile < matrix.tiles; ++tile)
    multiply_block<S, Sum, N, 1>(matrix, tile, in, finish);
}

// One block of tiles for `count` frames, N at a time; calls finish(frame, tile, sum).
template <class S, class Sum, int M, int N, class Finish>
void multiply_frames(const FramesJob& job, int tile, int first, Finish finish) {
  for (; first + N <= job.frames; first += N) {
    const uint8_t* in[N];
    for (int n = 0; n < N; ++n) in[n] = job.in + (first + n) * job.stride;
    const auto one = [=](int n, int at, const Sum& sum) { finish(first + n, at, sum); };
    multiply_block<S, Sum, N, M>(*job.matrix, tile, in, Each{one});
  }
  if constexpr (N > 1) {
    if (first < job.frames) multiply_frames<S, Sum, M, N - 1>(job, tile, first, finish);
  }
}

// Calls f(integral_constant N) for N == count, 1 ... Most.
template <int N>
struct Count {
  static constexpr int value = N;
};

template <int Most, class F>
[[gnu::always_inline]] inline void with_count(int count, const F& f) {
  if (count == Most) {
    f(Count<Most>{});
  } else if constexpr (Most > 1) {
    with_count<Most - 1>(count, f);
  }
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// The convolution with a pool of 1 x 2 behind it, by the minimal filtering of two neighbouring rows, F(2, 3): four
// products instead of six (S. Winograd, Arithmetic Complexity of Computations, 1980). With the codes d0 ... d3 of
// four rows and the weights g0 ... g2 of a column, summed over columns and channels,
//
//   q0 = 2 g0 (d0 - d2)   q1 = (g0 + g1 + g2) (d1 + d2)   q2 = (g0 - g1 + g2) (d2 - d1)   q3 = 2 g2 (d3 - d1)
//
// twice the upper output is q0 + q1 + q2, twice the lower one q1 - q2 + q3. All sums are exact, modulo 2^16, and
// twice an output fits 16 bits. Differences are stored plus the largest code, which the biases take back.
#pragma once

#include "layers.hpp"

namespace zeile {

static inline void subtract(uint8_t* __restrict to, const uint8_t* a, const uint8_t* b, uint8_t plus) {
  for (int k = 0; k < kTile; ++k) to[k] = uint8_t(a[k] - b[k] + plus);
}

static inline void add(uint8_t* __restrict to, const uint8_t* a, const uint8_t* b) {
  for (int k = 0; k < kTile; ++k) to[k] = uint8_t(a[k] + b[k]);
}

// The four sums and differences of rows r ... r + 3 of all columns, 4 x (columns + 2, channels).
static inline void filter_inputs(const ConvJob& job, int row) {
  const size_t channels = job.in_channels, column = size_t(job.rows + 2) * channels;
  const size_t size = size_t(job.columns + 2) * channels;
  const uint8_t top = uint8_t(job.in_top);
  const uint8_t* in = job.in + row * channels;
  uint8_t* to = job.scratch;
  for (int t = 0; t < job.columns + 2; ++t, in += column) {
    for (size_t c = 0; c < channels; c += kTile, to += kTile) {
      const uint8_t *d0 = in + c, *d1 = d0 + channels, *d2 = d1 + channels, *d3 = d2 + channels;
      subtract(to, d0, d2, top);
      add(to + size, d1, d2);
      subtract(to + 2 * size, d2, d1, top);
      subtract(to + 3 * size, d3, d1, top);
    }
  }
}

// Keeps the sums of N inputs.
template <class S>
struct KeepFinish {
  const int16_t* bias16;
  typename S::Shorts* out;  // [input]

  template <int N>
  [[gnu::always_inline]] void operator()(int tile, const typename S::Narrow (&sum)[N]) const {
    const typename S::Shorts bias = S::load_shorts(bias16 + tile * kTile);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) out[n] = S::add(S::sums(sum[n]), bias);
  }
};

template <class S, int N>
[[gnu::noinline]] void filter_pairs(const Matrix& m, int tile, const uint8_t* const* in, size_t size, int top,
                                    uint8_t* const* out) {
  typename S::Shorts q[4][N];
  for (int k = 0; k < 4; ++k) {
    const uint8_t* x[N];
    for (int n = 0; n < N; ++n) x[n] = in[n] + k * size;
    multiply_block<S, typename S::Narrow, N, 1>(m, k * m.tiles + tile, x, KeepFinish<S>{m.bias16, q[k]});
  }
  const typename S::Shorts multiplier = S::load_shorts(m.multiplier + tile * kTile);
  const int count = rows_in_tile(m.rows, tile);
  for (int n = 0; n < N; ++n) {
    const typename S::Shorts upper = S::add(S::add(q[0][n], q[1][n]), q[2][n]);
    const typename S::Shorts lower = S::add(S::subtract_shorts(q[1][n], q[2][n]), q[3][n]);
    const typename S::Shorts a = S::half(S::larger_short(upper, lower));
    put_codes<S>(out[n] + tile * kTile, S::rescale(a, multiplier), count, top);
  }
}

template <class S>
void conv_pairs(const ConvJob& job) {
  constexpr int kN = S::kInputs;
  const Matrix& m = *job.matrix;
  const size_t size = size_t(job.columns + 2) * job.in_channels;
  const size_t out_column = size_t(job.rows / 2 + 2) * job.out_channels;
  for (int row = 0; row < job.rows; row += 2) {
    filter_inputs(job, row);
    for (int first = 0; first < job.columns; first += kN) {
      const uint8_t* in[kN];
      uint8_t* out[kN];
      for (int n = 0; n < kN; ++n) {  // filled up with the last column once more
        const int t = first + n < job.columns ? first + n : job.columns - 1;
        in[n] = job.scratch + size_t(t) * job.in_channels;
        out[n] = job.out + (t + 1) * out_column + (row / 2 + 1) * size_t(job.out_channels);
      }
      for (int tile = 0; tile < m.tiles; ++tile) filter_pairs<S, kN>(m, tile, in, size, job.top, out);
    }
  }
}

}  // namespace zeile

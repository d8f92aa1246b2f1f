// SPDX-License-Identifier: Apache-2.0
// The convolution of one channel (matrices of layout `taps`), and the pool behind it whatever its size: lanes are
// output channels, so that nothing is added across lanes, and a window's maximum never leaves its register.
#pragma once

#include <limits>

#include "layers.hpp"

namespace zeile {

// The largest sums, bias and all, of the window of `columns` by `rows` pixels whose upper left neighbour is `in`.
template <class S>
[[gnu::always_inline]] inline typename S::Shorts largest_sums(const typename S::Taps (&taps)[6], const uint8_t* in,
                                                              size_t stride, int columns, int rows) {
  int16_t least[kTile];
  for (int16_t& value : least) value = std::numeric_limits<int16_t>::min();
  typename S::Shorts best = S::load_shorts(least);
  for (int t = 0; t < columns; ++t, in += stride) {
    for (int r = 0; r < rows; ++r) {
      typename S::Shorts sum = S::tap(taps[0], in + r);
#pragma GCC unroll 8
      for (int k = 1; k < 6; ++k) sum = S::add(sum, S::tap(taps[k], in + r + k / 2 * stride + k % 2 * 2));
      best = S::larger_short(best, sum);
    }
  }
  return best;
}

template <class S, int Rows>
[[gnu::noinline]] void conv_taps_of(const ConvJob& job) {
  const Matrix& m = *job.matrix;
  const int pool_rows = Rows > 0 ? Rows : job.pool_rows;
  const int out_rows = job.rows / pool_rows;
  const size_t stride = size_t(job.rows) + 2, out_column = size_t(out_rows + 2) * job.out_channels;
  for (int tile = 0; tile < m.tiles; ++tile) {
    typename S::Taps taps[6];
    for (int k = 0; k < 6; ++k) taps[k] = S::load_taps(m.weight + tile * kTapBytes + k * 2 * kTile);
    const typename S::Shorts bias = S::load_shorts(m.bias16 + tile * kTile);
    const typename S::Shorts multiplier = S::load_shorts(m.multiplier + tile * kTile);
    const int count = rows_in_tile(m.rows, tile);
    uint8_t* column = job.out + job.out_channels + tile * kTile;
    for (int t = 0; t < job.columns; t += job.pool_columns) {
      column += out_column;
      const int columns = job.columns - t < job.pool_columns ? job.columns - t : job.pool_columns;
      for (int r = 0; r < out_rows; ++r) {
        const uint8_t* in = job.in + t * stride + r * pool_rows;
        const typename S::Shorts sum = largest_sums<S>(taps, in, stride, columns, pool_rows);
        put_codes<S>(column + r * size_t(job.out_channels), S::rescale(S::add(sum, bias), multiplier), count, job.top);
      }
    }
  }
}

template <class S>
void conv_taps(const ConvJob& job) {
  job.pool_rows == 2 ? conv_taps_of<S, 2>(job) : conv_taps_of<S, 0>(job);
}

}  // namespace zeile

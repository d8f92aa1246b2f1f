// SPDX-License-Identifier: Apache-2.0
// Convolution, pooling and dense layers over a policy S (matrix.hpp).
#pragma once

#include <cstring>

#include "matrix.hpp"

namespace zeile {

// R(a * m): the one rounding rule, half up.
static inline int64_t rescale(int32_t sum, int16_t multiplier) {
  return (int64_t(sum) * multiplier + (1 << 14)) >> 15;
}

static inline int clamp(int64_t value, int low, int high) {
  return int(value < low ? low : value > high ? high : value);
}

static inline int rows_in_tile(int rows, int tile) {
  const int left = rows - tile * kTile;
  return left < kTile ? left : kTile;
}

// Copies the real rows of a tile; the common counts become plain stores.
static inline void put(void* out, const void* from, int count) {
  if (count == 8) {
    std::memcpy(out, from, 8);
  } else {
    std::memcpy(out, from, count);
  }
}

// Stores the codes 0 ... top of a tile's real rows.
template <class S>
[[gnu::always_inline]] inline void put_codes(uint8_t* to, typename S::Shorts a, int count, int top) {
  if (count == kTile) {
    S::store_unsigned(to, a, top);
  } else {
    uint8_t codes[kTile];
    S::store_unsigned(codes, a, top);
    put(to, codes, count);
  }
}

// Turns the sums of N pixels into N / P outputs: the maximum of each P pixels, which stand one behind the
// other. R grows with its argument, so the maximum may be taken before it.
template <class S, int P>
struct ConvFinish {
  const int16_t* bias16;
  const int32_t* bias;
  const int16_t* multiplier;
  const int16_t* gain;
  int rows;
  int top;
  uint8_t* const* out;         // [output]
  const uint8_t* const* skip;  // [pixel]

  template <int N>
  [[gnu::always_inline]] void operator()(int tile, const typename S::Narrow (&sum)[N]) const {
    const typename S::Shorts offset = S::load_shorts(bias16 + tile * kTile);
    const int count = rows_in_tile(rows, tile);
#pragma GCC unroll 8
    for (int n = 0; n < N; n += P) {
      typename S::Shorts a = with_skip(n, tile, S::add(S::sums(sum[n]), offset));
#pragma GCC unroll 8
      for (int p = 1; p < P; ++p)
        a = S::larger_short(a, with_skip(n + p, tile, S::add(S::sums(sum[n + p]), offset)));
      a = S::rescale(a, S::load_shorts(multiplier + tile * kTile));
      put_codes<S>(out[n / P] + tile * kTile, a, count, top);
    }
  }

  template <int N>
  void operator()(int tile, const typename S::Wide (&sum)[N]) const {
    for (int n = 0; n < N; n += P) {
      uint8_t* to = out[n / P] + tile * kTile;
      for (int p = 0; p < P; ++p) {
        int32_t sums[kTile];
        S::sums(sum[n + p], sums);
        for (int r = 0, row = tile * kTile; r < rows_in_tile(rows, tile); ++r, ++row) {
          uint32_t a = uint32_t(sums[r]) + uint32_t(bias[row]);
          if (gain != nullptr) a += uint32_t(gain[row] * skip[n + p][row]);
          const uint8_t code = uint8_t(clamp(rescale(int32_t(a), multiplier[row]), 0, top));
          to[r] = p > 0 && to[r] > code ? to[r] : code;
        }
      }
    }
  }

 private:
  [[gnu::always_inline]] typename S::Shorts with_skip(int n, int tile, typename S::Shorts a) const {
    if (gain == nullptr) return a;
    return S::add(a, S::mul_low(S::load_shorts(gain + tile * kTile), S::widen(skip[n] + tile * kTile)));
  }
};

// Outputs of P pixels each: windows of pool_columns by pool_rows.
template <class S, class Sum, int P>
void conv_of(const ConvJob& job) {
  constexpr int kOutputs = S::kPixels / P;
  const Matrix& m = *job.matrix;
  const int out_rows = job.rows / job.pool_rows,
            out_columns = (job.columns + job.pool_columns - 1) / job.pool_columns;
  const size_t in_column = size_t(job.rows + 2) * job.in_channels;
  const size_t skip_column = size_t(job.rows + 2) * job.out_channels;
  const size_t out_column = size_t(out_rows + 2) * job.out_channels;
  size_t right[P], down[P];  // places of a window's pixels
  for (int p = 0; p < P; ++p)
    right[p] = P == 1 ? 0 : p / job.pool_rows, down[p] = P == 1 ? 0 : p % job.pool_rows;
  const uint8_t* in[S::kPixels] = {};
  const uint8_t* skip[S::kPixels] = {};
  uint8_t* out[kOutputs] = {};
  const ConvFinish<S, P> finish{m.bias16, m.bias, m.multiplier, m.gain, m.rows, job.top, out, skip};
  int column = 0, row = 0;
  for (size_t left = size_t(out_columns) * out_rows; left > 0;) {
    for (int o = 0; o < kOutputs; ++o) {
      if (left == 0) {  // fill up with the last output once more
        for (int p = 0; p < P; ++p)
          in[o * P + p] = in[(o - 1) * P + p], skip[o * P + p] = skip[(o - 1) * P + p];
        out[o] = out[o - 1];
        continue;
      }
      const size_t first = size_t(column) * job.pool_columns, top = size_t(row) * job.pool_rows;
      for (int p = 0; p < P; ++p) {
        // A column behind the line is paper, code 0, which no maximum needs: take the first once more.
        const size_t t = first + right[p] < size_t(job.columns) ? first + right[p] : first;
        in[o * P + p] = job.in + t * in_column + (top + down[p]) * job.in_channels;
        if (job.skip != nullptr)
          skip[o * P + p] = job.skip + (t + 1) * skip_column + (top + down[p] + 1) * job.out_channels;
      }
      out[o] = job.out + (column + 1) * out_column + (row + 1) * size_t(job.out_channels);
      --left;
      if (++row == out_rows) row = 0, ++column;
    }
    multiply_tiles<S, Sum, S::kPixels>(m, in, false, finish);
  }
}

template <class S, class Sum>
void conv_pooled(const ConvJob& job) {
  const int window = job.pool_columns * job.pool_rows;
  if constexpr (S::kPixels >= 4) {
    if (window == 4) return conv_of<S, Sum, 4>(job);
  }
  window == 2 ? conv_of<S, Sum, 2>(job) : conv_of<S, Sum, 1>(job);
}

static inline void raise(uint8_t* out, const uint8_t* in, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int k = 0; k < 16; ++k) out[i + k] = out[i + k] < in[i + k] ? in[i + k] : out[i + k];
  }
  for (; i < count; ++i) out[i] = out[i] < in[i] ? in[i] : out[i];
}

static inline void copy(uint8_t* out, const uint8_t* in, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) std::memcpy(out + i, in + i, 16);
  for (; i < count; ++i) out[i] = in[i];
}

template <class S>
void pool(const PoolJob& job) {
  const size_t channels = job.channels;
  const size_t in_column = size_t(job.rows + 2) * channels;
  const size_t out_column = size_t(job.rows / job.pool_rows + 2) * channels;
  for (int t = 0; t * job.pool_columns < job.columns; ++t) {
    const int begin = t * job.pool_columns;
    const int end = begin + job.pool_columns < job.columns ? begin + job.pool_columns : job.columns;
    uint8_t* out = job.out + (t + 1) * out_column + channels;
    for (int r = 0; r < job.rows; r += job.pool_rows, out += channels) {
      const uint8_t* in = job.in + (begin + 1) * in_column + (r + 1) * channels;
      copy(out, in, channels);
      for (int k = begin; k < end; ++k, in += in_column) {
        for (int j = 0; j < job.pool_rows; ++j) raise(out, in + j * channels, channels);
      }
    }
  }
}

// Visits tiles in blocks, and for each block all frames: weights come from the nearest cache.
template <class S, class Sum, class Finish>
void all_frames(const FramesJob& job, Finish finish) {
  constexpr int kTiles = tiles_beside<S, S::kInputs>();
  int tile = 0;
  if (job.frames == 1) {
    multiply_tiles<S, Sum, 1>(*job.matrix, &job.in, false, Each<Finish>{finish});
    return;
  }
  for (; tile + kTiles <= job.matrix->tiles; tile += kTiles) {
    multiply_frames<S, Sum, kTiles, S::kInputs>(job, tile, 0, finish);
  }
  for (; tile < job.matrix->tiles; ++tile) multiply_frames<S, Sum, 1, S::kInputs>(job, tile, 0, finish);
}

template <class S>
struct DenseFinish {
  const int16_t* bias16;
  const int32_t* bias;
  const int16_t* multiplier;
  int rows;
  int8_t* scores;  // (frames, rows)

  [[gnu::always_inline]] void operator()(int frame, int tile, const typename S::Narrow& sum) const {
    int8_t* out = scores + size_t(frame) * rows + tile * kTile;
    const typename S::Shorts a = S::rescale(S::add(S::sums(sum), S::load_shorts(bias16 + tile * kTile)),
                                            S::load_shorts(multiplier + tile * kTile));
    const int count = rows_in_tile(rows, tile);
    if (count == kTile) {
      S::store_signed(out, a);
    } else {
      int8_t codes[kTile];
      S::store_signed(codes, a);
      put(out, codes, count);
    }
  }

  void operator()(int frame, int tile, const typename S::Wide& sum) const {
    int8_t* out = scores + size_t(frame) * rows;
    int32_t sums[kTile];
    S::sums(sum, sums);
    for (int r = 0, row = tile * kTile; r < rows_in_tile(rows, tile); ++r, ++row) {
      const int32_t a = int32_t(uint32_t(sums[r]) + uint32_t(bias[row]));
      out[row] = int8_t(clamp(rescale(a, multiplier[row]), -128, 127));
    }
  }
};

template <class S>
void dense(const FramesJob& job) {
  const Matrix& m = *job.matrix;
  const DenseFinish<S> finish{m.bias16, m.bias, m.multiplier, m.rows, static_cast<int8_t*>(job.out)};
  job.matrix->narrow ? all_frames<S, typename S::Narrow>(job, finish)
                     : all_frames<S, typename S::Wide>(job, finish);
}

}  // namespace zeile

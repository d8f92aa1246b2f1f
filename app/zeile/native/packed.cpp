// SPDX-License-Identifier: Apache-2.0
#include "packed.hpp"

#include <algorithm>
#include <cstdlib>
#include <numeric>

namespace zeile {
namespace {

struct Divisor {
  int multiplier;
  int shift;
};
// Division by 2^A - 1, half up, for A = 2 ... 8.
constexpr Divisor kDivisors[] = {{10923, 15}, {4681, 15}, {2185, 15}, {1057, 15},
                                 {520, 15},   {258, 15},  {257, 16}};

std::vector<int> straight(int count) {
  std::vector<int> source((count + kTile - 1) / kTile * kTile, -1);
  std::iota(source.begin(), source.begin() + count, 0);
  return source;
}

// Four gates of `hidden` rows, each padded.
std::vector<int> gates(int hidden, int padded) {
  std::vector<int> source(size_t(4) * padded, -1);
  for (int gate = 0; gate < 4; ++gate) {
    std::iota(source.begin() + gate * padded, source.begin() + gate * padded + hidden, gate * hidden);
  }
  return source;
}

// Whether neighbouring inputs' products could exceed 16 bits. Pairs are (0, 1), (2, 3) of each run.
bool pair_exceeds(const Rows& rows) {
  for (int r = 0; r < rows.count; ++r) {
    for (int run = 0; run < rows.runs; ++run) {
      const int8_t* weight = rows.weight + r * rows.row_stride + run * rows.length;
      for (int k = 0; k < rows.length; k += 2) {
        const int next = k + 1 < rows.length ? weight[k + 1] : 0;
        if ((std::abs(weight[k]) + std::abs(next)) * rows.largest > 32767) return true;
      }
    }
  }
  return false;
}

// A ladder of a rising table over bytes low ... low + size - 1; false if it has more than 16 values.
template <class T>
bool make_ladder(const std::vector<T>& table, int low, int scale, Ladder& ladder) {
  int8_t above[kTile];
  std::fill(above, above + kTile, int8_t(127));
  std::fill(ladder.value, ladder.value + kTile, int8_t(0));
  int k = 0;
  ladder.value[0] = int8_t(table[0] * scale);
  for (size_t i = 1; i < table.size(); ++i) {
    if (table[i] == table[i - 1]) continue;
    if (++k == kTile) return false;
    above[k] = int8_t(low + int(i) - 1);
    ladder.value[k] = int8_t(table[i] * scale);
  }
  ladder.above8 = above[8];
  for (int i = 0; i < kTile; ++i) {
    ladder.above4[i] = i + 4 < kTile ? above[i + 4] : int8_t(127);
    ladder.above2[i] = i + 2 < kTile ? above[i + 2] : int8_t(127);
    ladder.above1[i] = i + 1 < kTile ? above[i + 1] : int8_t(127);
  }
  return true;
}

}  // namespace

PackedMatrix::PackedMatrix(const Kernels& kernels, const Rows& rows, const std::vector<int>& source,
                           bool narrow) {
  shape_.rows = rows.count;
  shape_.tiles = int(source.size()) / kTile;
  shape_.runs = rows.runs;
  shape_.quads = (rows.length + kQuad - 1) / kQuad;
  shape_.parts = kernels.pairs_saturate && pair_exceeds(rows) ? 2 : 1;
  shape_.narrow = narrow;
  weight_ = Buffer<int8_t>(source.size() * shape_.parts * shape_.runs * shape_.quads * kQuad);
  copy_row_values(rows, source);
  correct(rows, source, kernels.offset);
  int8_t* to = weight_.data();
  for (int tile = 0; tile < shape_.tiles; ++tile) {
    for (int part = 0; part < shape_.parts; ++part) {
      for (int run = 0; run < shape_.runs; ++run) {
        for (int quad = 0; quad < shape_.quads; ++quad) {
          for (int place = 0; place < kTile; ++place) {
            const int row = source[tile * kTile + kernels.order[place]];
            for (int k = quad * kQuad; k < (quad + 1) * kQuad; ++k, ++to) {
              if (row < 0 || k >= rows.length) continue;
              const int weight = rows.weight[row * rows.row_stride + size_t(run) * rows.length + k];
              const int half = weight / 2;
              *to = int8_t(shape_.parts == 1 ? weight : part == 0 ? half : weight - half);
            }
          }
        }
      }
    }
  }
}

PackedMatrix PackedMatrix::of_taps(const Rows& rows, const std::vector<int>& source) {
  PackedMatrix packed;
  packed.shape_.rows = rows.count;
  packed.shape_.tiles = int(source.size()) / kTile;
  packed.shape_.narrow = packed.shape_.taps = true;
  packed.weight_ = Buffer<int8_t>(size_t(packed.shape_.tiles) * kTapBytes);
  packed.copy_row_values(rows, source);
  packed.correct(rows, source, 0);
  for (size_t row = 0; row < source.size(); ++row) {
    if (source[row] < 0) continue;
    int8_t* to = packed.weight_.data() + row / kTile * kTapBytes + row % kTile * 2;
    for (int column = 0; column < 3; ++column, to += 4 * kTile) {
      const int8_t* weight = rows.weight + source[row] * rows.row_stride + column * 3;
      to[0] = weight[0];
      to[1] = weight[1];
      to[2 * kTile] = weight[2];
    }
  }
  return packed;
}

void PackedMatrix::copy_row_values(const Rows& rows, const std::vector<int>& source) {
  bias_ = Buffer<int32_t>(source.size());
  bias16_ = Buffer<int16_t>(source.size());
  multiplier_ = Buffer<int16_t>(source.size());
  if (rows.gain != nullptr) gain_ = Buffer<int16_t>(source.size());
  for (size_t row = 0; row < source.size(); ++row) {
    if (source[row] < 0) continue;
    multiplier_[row] = rows.multiplier[source[row]];
    if (rows.gain != nullptr) gain_[row] = rows.gain[source[row]];
    if (rows.bias != nullptr) bias_[row] = rows.bias[source[row]];
  }
}

void PackedMatrix::correct(const Rows& rows, const std::vector<int>& source, int offset) {
  for (size_t row = 0; row < source.size(); ++row) {
    if (source[row] < 0) continue;
    const int8_t* weight = rows.weight + source[row] * rows.row_stride;
    const int sum = std::accumulate(weight, weight + size_t(rows.runs) * rows.length, 0);
    bias_[row] = int32_t(uint32_t(bias_[row]) + uint32_t(offset * sum));
    bias16_[row] = int16_t(bias_[row]);
  }
}

Matrix PackedMatrix::view(size_t run_stride) const {
  Matrix matrix = shape_;
  matrix.weight = weight_.data();
  matrix.bias = bias_.data();
  matrix.bias16 = bias16_.data();
  matrix.multiplier = multiplier_.data();
  matrix.gain = gain_.data();
  matrix.stride = run_stride;
  return matrix;
}

PackedLayer::PackedLayer(const Kernels& kernels, const Layer& layer, bool pooled) : matrix{} {
  if (layer.kind == Kind::kMaxPool) return;
  if (layer.kind == Kind::kLstm) {
    pack_lstm(kernels, layer);
    return;
  }
  if (pooled && pack_pairs(kernels, layer)) return;
  const bool conv = layer.kind == Kind::kConv2d;
  const int rows = layer.out.channels, runs = conv ? 3 : 1,
            length = conv ? 3 * layer.in.channels : layer.in.size();
  const Rows all{layer.weight.data(),
                 size_t(runs) * length,
                 layer.bias.data(),
                 layer.multiplier.data(),
                 layer.has_skip ? layer.gain.data() : nullptr,
                 rows,
                 runs,
                 length,
                 layer.in.largest_stored()};
  const std::vector<int> source = straight(rows);
  const bool narrow = layer.bound <= 32767;
  if (conv && narrow && layer.in.channels == 1 && !layer.has_skip && layer.in.bits < 8) {
    owned_.push_back(PackedMatrix::of_taps(all, source));
  } else {
    owned_.emplace_back(kernels, all, source, narrow);
    owned_.back().correct(all, source, -layer.in.offset());
  }
  matrix = owned_.back().view(size_t(layer.in.rows + 2) * layer.in.channels);
}

// The filters of pairs.hpp, if all sums of twice the outputs fit 16 bits, filters bytes and no pair saturates.
bool PackedLayer::pack_pairs(const Kernels& kernels, const Layer& layer) {
  const int channels = layer.in.channels, top = layer.in.largest_stored(), length = 3 * channels;
  const std::vector<int> source = straight(layer.out.channels);
  const int padded = int(source.size());
  if (2 * layer.bound > 32767 || layer.has_skip || channels % kTile != 0 || layer.in.bits > 7) return false;
  std::vector<int8_t> weight(size_t(4) * padded * length);
  std::vector<int32_t> bias(size_t(4) * padded);
  std::vector<int16_t> multiplier(bias.size());
  for (int row = 0; row < layer.out.channels; ++row) {
    multiplier[row] = layer.multiplier[row];
    for (int column = 0; column < 3; ++column) {
      const int8_t* g = layer.weight.data() + (size_t(row) * 3 + column) * length;
      for (int c = 0; c < channels; ++c) {
        const int above = g[c], here = g[channels + c], below = g[2 * channels + c];
        const int filter[4] = {2 * above, above + here + below, above - here + below, 2 * below};
        for (int k = 0; k < 4; ++k) {
          if (std::abs(filter[k]) > 127) return false;
          const size_t place = size_t(k) * padded + row;
          weight[place * length + column * channels + c] = int8_t(filter[k]);
          if (k != 1) bias[place] -= top * filter[k];
        }
      }
    }
    bias[padded + row] = 2 * layer.bias[row];
  }
  const Rows all{weight.data(), size_t(length), bias.data(), multiplier.data(), nullptr, 4 * padded, 1, length,
                 2 * top};
  if (kernels.pairs_saturate && pair_exceeds(all)) return false;
  owned_.emplace_back(kernels, all, straight(4 * padded), true);
  matrix = owned_.back().view(0);
  matrix.rows = layer.out.channels;
  matrix.tiles = padded / kTile;
  matrix.pairs = true;
  return true;
}

void PackedLayer::pack_lstm(const Kernels& kernels, const Layer& layer) {
  const int inputs = layer.in.size(), hidden = layer.hidden, padded = (hidden + kUnits - 1) / kUnits * kUnits;
  const size_t stride = size_t(inputs) + hidden;
  const std::vector<int> source = gates(hidden, padded);
  const bool narrow = layer.bound <= 32767;
  sigmoid_ = layer.sigmoid;
  tanh_ = layer.tanh;
  tanh_cell_ = layer.tanh_cell;
  Recurrent both{};
  both.hidden = hidden;
  both.padded = padded;
  both.out_bits = layer.out.bits;
  both.cell_bits = layer.cell_bits;
  both.divisor = int16_t(kDivisors[layer.out.bits - 2].multiplier);
  both.shift = kDivisors[layer.out.bits - 2].shift;
  both.sigmoid_table = sigmoid_.data();
  both.tanh_table = tanh_.data();
  both.tanh_cell_table = tanh_cell_.data();
  const int scale = 1 << (layer.cell_bits - layer.out.bits - 2);
  both.ladders = layer.out.bits <= 4 && layer.cell_bits <= 8 &&
                 make_ladder(sigmoid_, -128, 1, both.sigmoid) && make_ladder(tanh_, -128, scale, both.tanh) &&
                 make_ladder(tanh_cell_, -(1 << (layer.cell_bits - 1)), 1, both.tanh_cell);
  for (int d = 0; d < layer.directions; ++d) {
    const size_t first = size_t(d) * 4 * hidden;
    const int8_t* weight = layer.weight.data() + first * stride;
    const int16_t* multiplier = layer.multiplier.data() + first;
    const Rows x{weight, stride, layer.bias.data() + first, multiplier, nullptr, 4 * hidden,
                 1,      inputs, layer.in.largest_stored()};
    const Rows h{weight + inputs,           stride, nullptr, multiplier, nullptr, 4 * hidden, 1, hidden,
                 layer.out.largest_stored()};
    PackedMatrix from_x(kernels, x, source, narrow), from_h(kernels, h, source, narrow);
    from_x.correct(x, source, -layer.in.offset());
    from_x.correct(h, source, kernels.offset - layer.out.offset());
    owned_.push_back(std::move(from_x));
    owned_.push_back(std::move(from_h));
    Recurrent one = both;
    one.from_x = owned_[owned_.size() - 2].view(0);
    one.from_h = owned_.back().view(0);
    directions.push_back(one);
  }
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// Weights in a path's order: built once from a Layer, then only read.
#pragma once

#include "buffer.hpp"
#include "kernels.hpp"
#include "model.hpp"

namespace zeile {

// Rows of a matrix still in the model's layout, to be packed.
struct Rows {
  const int8_t*
      weight;  // row r at weight + r * row_stride: `runs` runs of `length` inputs, one behind the other
  size_t row_stride;
  const int32_t* bias;  // null for none
  const int16_t* multiplier;
  const int16_t* gain;  // null for none
  int count;
  int runs;
  int length;
  int largest;  // stored input code
};

class PackedMatrix {
 public:
  PackedMatrix() = default;
  // Row r of the packed matrix is source row `source[r]`, or nothing for -1.
  PackedMatrix(const Kernels& kernels, const Rows& rows, const std::vector<int>& source, bool narrow);

  // One channel's 3 x 3 windows in the layout `taps`, with narrow sums.
  static PackedMatrix of_taps(const Rows& rows, const std::vector<int>& source);

  // Adds to each row's bias what makes up for inputs stored `offset` above their codes.
  void correct(const Rows& rows, const std::vector<int>& source, int offset);

  Matrix view(size_t run_stride) const;

 private:
  void copy_row_values(const Rows& rows, const std::vector<int>& source);

  Matrix shape_{};
  Buffer<int8_t> weight_;
  Buffer<int32_t> bias_;
  Buffer<int16_t> bias16_;
  Buffer<int16_t> multiplier_;
  Buffer<int16_t> gain_;
};

// Everything of a layer that its kernels need.
class PackedLayer {
 public:
  // `pooled`: a pool of 1 x 2 follows, and nothing else reads the map between.
  PackedLayer(const Kernels& kernels, const Layer& layer, bool pooled);

  Matrix matrix;                      // conv2d, dense
  std::vector<Recurrent> directions;  // lstm

 private:
  bool pack_pairs(const Kernels& kernels, const Layer& layer);
  void pack_lstm(const Kernels& kernels, const Layer& layer);

  std::vector<PackedMatrix> owned_;
  std::vector<uint8_t> sigmoid_;
  std::vector<int8_t> tanh_;
  std::vector<int8_t> tanh_cell_;
};

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// A network as data, read from the bytes that `zeile.native.describe` writes.
//
// Little-endian: int32 magic, version, rows, pixel bits, layer count; for each layer int32 kind, six
// parameters and the accumulator's bound, then its tensors in the order of DATAPATH.md, each filled up to a
// multiple of four bytes. The Python side has proved that layers and tensors fit together; here only lengths
// are checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace zeile {

enum class Kind : int32_t { kConv2d = 0, kMaxPool = 1, kLstm = 2, kDense = 3 };

// What flows between two layers.
struct Codes {
  int rows;
  int channels;
  int bits;
  bool is_signed;

  int size() const { return rows * channels; }
  int offset() const { return is_signed ? 1 << (bits - 1) : 0; }  // what stored codes are above real ones
  int largest_stored() const { return (1 << bits) - 1; }
};

struct Layer {
  Kind kind;
  Codes in;
  Codes out;
  int64_t bound = 0;      // largest possible magnitude of the accumulator
  int pool_columns = 1;   // maxpool
  int pool_rows = 1;      // maxpool
  bool has_skip = false;  // conv2d
  int skip = -1;          // conv2d: index of the layer, -1 for the input
  int hidden = 0;         // lstm
  int cell_bits = 0;      // lstm
  int directions = 1;     // lstm
  std::vector<int8_t> weight;
  std::vector<int32_t> bias;
  std::vector<int16_t> multiplier;
  std::vector<int16_t> gain;
  std::vector<uint8_t> sigmoid;
  std::vector<int8_t> tanh;
  std::vector<int8_t> tanh_cell;
};

struct Model {
  Codes input;
  std::vector<Layer> layers;

  int frame_size() const { return input.rows; }
  int classes() const { return layers.back().out.channels; }
  int steps(int frames) const;
};

// Throws std::invalid_argument if the bytes are not a whole model.
Model read_model(const void* bytes, size_t size);

}  // namespace zeile

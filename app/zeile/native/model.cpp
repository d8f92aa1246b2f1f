// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <cstring>
#include <stdexcept>

namespace zeile {
namespace {

constexpr int32_t kMagic = 0x54454E5A;  // "ZNET"
constexpr int32_t kVersion = 1;

class Reader {
 public:
  Reader(const void* bytes, size_t size) : at_(static_cast<const uint8_t*>(bytes)), left_(size) {}

  int32_t number() {
    int32_t value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }

  template <class T>
  std::vector<T> tensor(size_t count) {
    std::vector<T> values(count);
    const size_t bytes = count * sizeof(T);
    if (count > 0) std::memcpy(values.data(), take(bytes), bytes);
    take((4 - bytes % 4) % 4);
    return values;
  }

  bool done() const { return left_ == 0; }

 private:
  const uint8_t* take(size_t bytes) {
    if (bytes > left_) throw std::invalid_argument("model description ends too early");
    const uint8_t* taken = at_;
    at_ += bytes;
    left_ -= bytes;
    return taken;
  }

  const uint8_t* at_;
  size_t left_;
};

void read_products(Reader& reader, Layer& layer, size_t rows, size_t inputs) {
  layer.weight = reader.tensor<int8_t>(rows * inputs);
  layer.bias = reader.tensor<int32_t>(rows);
  layer.multiplier = reader.tensor<int16_t>(rows);
}

Layer read_layer(Reader& reader, const Codes& in) {
  Layer layer;
  layer.kind = static_cast<Kind>(reader.number());
  int32_t parameter[6];
  for (int32_t& value : parameter) value = reader.number();
  layer.bound = reader.number();
  layer.in = in;
  layer.out = in;
  switch (layer.kind) {
    case Kind::kConv2d:  // channels, out_bits, has_skip, skip
      layer.out = Codes{in.rows, parameter[0], parameter[1], false};
      layer.has_skip = parameter[2] != 0;
      layer.skip = parameter[3];
      read_products(reader, layer, parameter[0], size_t(9) * in.channels);
      if (layer.has_skip) layer.gain = reader.tensor<int16_t>(parameter[0]);
      break;
    case Kind::kMaxPool:  // columns, rows
      layer.pool_columns = parameter[0];
      layer.pool_rows = parameter[1];
      layer.out.rows = in.rows / parameter[1];
      break;
    case Kind::kLstm:  // hidden, out_bits, cell_bits, directions
      layer.hidden = parameter[0];
      layer.cell_bits = parameter[2];
      layer.directions = parameter[3];
      layer.out = Codes{1, layer.directions * layer.hidden, parameter[1], true};
      read_products(reader, layer, size_t(layer.directions) * 4 * layer.hidden,
                    size_t(in.size()) + layer.hidden);
      layer.sigmoid = reader.tensor<uint8_t>(256);
      layer.tanh = reader.tensor<int8_t>(256);
      layer.tanh_cell = reader.tensor<int8_t>(size_t(1) << layer.cell_bits);
      break;
    case Kind::kDense:  // classes
      layer.out = Codes{1, parameter[0], 8, true};
      read_products(reader, layer, parameter[0], in.size());
      break;
    default:
      throw std::invalid_argument("model description has an unknown layer kind");
  }
  return layer;
}

}  // namespace

int Model::steps(int frames) const {
  for (const Layer& layer : layers) frames = (frames + layer.pool_columns - 1) / layer.pool_columns;
  return frames;
}

Model read_model(const void* bytes, size_t size) {
  Reader reader(bytes, size);
  if (reader.number() != kMagic || reader.number() != kVersion) {
    throw std::invalid_argument("not a model description of version 1");
  }
  Model model;
  const int rows = reader.number(), bits = reader.number(), count = reader.number();
  model.input = Codes{rows, 1, bits, false};
  for (int i = 0; i < count; ++i) {
    model.layers.push_back(read_layer(reader, i == 0 ? model.input : model.layers.back().out));
  }
  if (!reader.done() || model.layers.empty() || model.layers.back().kind != Kind::kDense) {
    throw std::invalid_argument("model description has no dense layer at its end");
  }
  return model;
}

}  // namespace zeile

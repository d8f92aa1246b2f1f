// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <stdexcept>

namespace zeile {
namespace {

constexpr int kGroup = 32;  // lines in flight in one worker
constexpr int kChunk = 48;  // steps whose products with the frames are made at once
constexpr int kBatchChunk = 24;

// Makes the paper around a map.
void clear_edge(uint8_t* map, int columns, int rows, int channels) {
  const size_t column = size_t(rows + 2) * channels;
  std::memset(map, 0, column);
  for (int t = 1; t <= columns; ++t) {
    std::memset(map + t * column, 0, channels);
    std::memset(map + (t + 1) * column - channels, 0, channels);
  }
  std::memset(map + (columns + 1) * column, 0, column);
}

// Whether `index` is a convolution with a pool behind it, and nothing else wants its map.
bool only_pooled(const Model& model, size_t index) {
  if (model.layers[index].kind != Kind::kConv2d || model.layers[index + 1].kind != Kind::kMaxPool) return false;
  for (const Layer& layer : model.layers) {
    if (layer.has_skip && layer.skip == int(index)) return false;
  }
  return true;
}

// Whether a convolution does this pool itself.
bool can_fuse(const Layer& pool, const Matrix& matrix, int window) {
  const int pixels = pool.pool_columns * pool.pool_rows;
  return matrix.taps || (pixels <= window && (pixels == 2 || pixels == 4));
}

bool is_row_pair(const Layer& pool) { return pool.pool_columns == 1 && pool.pool_rows == 2; }

size_t map_size(int columns, const Codes& codes) {
  return size_t(columns + 2) * (codes.rows + 2) * codes.channels;
}

}  // namespace

// Frames of one line on their way through the recurrent layers.
struct Engine::Sequence {
  Buffer<uint8_t> map;  // the last map, (count + 2, rows + 2, channels)
  Buffer<uint8_t> outputs[2];
  const uint8_t* frames = nullptr;
  ptrdiff_t stride = 0;
  int count = 0;
  uint8_t* next = nullptr;  // outputs of the layer at work
};

struct Engine::Workspace {
  std::vector<Buffer<uint8_t>> maps;
  Sequence sequences[kGroup];
  Buffer<uint8_t> chunk[kMaxSlots];
  Buffer<uint8_t> h[kMaxSlots];
  Buffer<int16_t> c[kMaxSlots];
  Buffer<int8_t> pre;
  Buffer<uint8_t> scratch;  // of a convolution
};

Engine::Engine(Model model, const Kernels& kernels, int threads)
    : model_(std::move(model)), kernels_(kernels), workers_(threads) {
  layers_.reserve(model_.layers.size());
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const bool pooled = only_pooled(model_, i);
    layers_.emplace_back(kernels_, model_.layers[i], pooled && is_row_pair(model_.layers[i + 1]));
    fused_.push_back(pooled && can_fuse(model_.layers[i + 1], layers_[i].matrix, kernels_.window));
  }
  while (model_.layers[maps_].kind == Kind::kConv2d || model_.layers[maps_].kind == Kind::kMaxPool) ++maps_;
  for (int i = 0; i < workers_.count(); ++i) {
    spaces_.push_back(std::make_unique<Workspace>());
    spaces_.back()->maps.resize(maps_);
  }
}

Engine::~Engine() = default;

void Engine::run(const std::vector<Line>& lines) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<size_t> order;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].count > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lines[a].count > lines[b].count; });
  workers_.run([&](int worker) {
    std::vector<Line> own;
    for (size_t i = worker; i < order.size(); i += workers_.count()) own.push_back(lines[order[i]]);
    for (size_t i = 0; i < own.size(); i += kGroup) {
      run_group(*spaces_[worker], &own[i], int(std::min<size_t>(kGroup, own.size() - i)));
    }
  });
}

void Engine::run_group(Workspace& space, const Line* lines, int count) const {
  for (int i = 0; i < count; ++i) run_maps(space, lines[i], i);
  for (size_t layer = maps_; layer + 1 < layers_.size(); ++layer) {
    if (model_.layers[layer].kind != Kind::kLstm) throw std::invalid_argument("a map cannot follow frames");
    run_lstm(space, layer, count);
  }
  run_dense(space, lines, count);
}

void Engine::run_maps(Workspace& space, const Line& line, int index) const {
  Sequence& sequence = space.sequences[index];
  const auto map = [&](size_t i) -> Buffer<uint8_t>& { return i == maps_ ? sequence.map : space.maps[i]; };
  int columns = line.count;
  Codes codes = model_.input;
  map(0).reserve(map_size(columns, codes));
  clear_edge(map(0).data(), columns, codes.rows, codes.channels);
  for (int t = 0; t < columns; ++t) {
    std::memcpy(map(0).data() + (t + 1) * size_t(codes.rows + 2) + 1, line.frames + size_t(t) * codes.rows,
                codes.rows);
  }
  for (size_t i = 0; i < maps_;) {
    const Layer& layer = model_.layers[i];
    const size_t last = i + (fused_[i] ? 1 : 0);
    const Layer& pool = model_.layers[last];
    const int steps = (columns + pool.pool_columns - 1) / pool.pool_columns;
    map(last + 1).reserve(map_size(steps, pool.out));
    uint8_t* out = map(last + 1).data();
    clear_edge(out, steps, pool.out.rows, pool.out.channels);
    if (layer.kind == Kind::kConv2d) {
      if (layers_[i].matrix.pairs) space.scratch.reserve(size_t(4) * (columns + 2) * codes.channels);
      kernels_.conv({&layers_[i].matrix, map(i).data(), layer.has_skip ? map(layer.skip + 1).data() : nullptr, out,
                     space.scratch.data(), columns, codes.rows, codes.channels, layer.out.channels,
                     codes.largest_stored(), layer.out.largest_stored(), pool.pool_columns, pool.pool_rows});
    } else {
      kernels_.pool(
          {map(i).data(), out, columns, codes.rows, codes.channels, layer.pool_columns, layer.pool_rows});
    }
    columns = steps;
    codes = pool.out;
    i = last + 1;
  }
  const size_t column = size_t(codes.rows + 2) * codes.channels;
  sequence.frames = sequence.map.data() + column + codes.channels;
  sequence.stride = ptrdiff_t(column);
  sequence.count = columns;
}

void Engine::run_lstm(Workspace& space, size_t index, int count) const {
  const Layer& layer = model_.layers[index];
  const int size = layer.out.size();
  for (int i = 0; i < count; ++i) {
    Sequence& sequence = space.sequences[i];
    Buffer<uint8_t>& buffer = sequence.outputs[index % 2];
    buffer.reserve(size_t(sequence.count) * size);
    sequence.next = buffer.data();
  }
  for (int d = 0; d < layer.directions; ++d)
    run_direction(space, layers_[index].directions[d], d, count, size);
  for (int i = 0; i < count; ++i) {
    Sequence& sequence = space.sequences[i];
    sequence.frames = sequence.next;
    sequence.stride = size;
  }
}

void Engine::run_direction(Workspace& space, const Recurrent& layer, int direction, int count,
                           size_t outputs) const {
  struct Place {
    Sequence* line;
    int step;
    int ready;  // steps whose products with the frames are made
    int begin;  // first of those in `products`
    uint8_t* products;
  };
  const int slots = std::min(count, kernels_.slots), chunk = slots == 1 ? kChunk : kBatchChunk;
  const size_t width = size_t(4) * layer.padded * (layer.from_x.narrow ? sizeof(int16_t) : sizeof(int32_t));
  space.pre.reserve(size_t(slots) * 4 * layer.padded);
  Place places[kMaxSlots];
  Slot slot[kMaxSlots];
  int next = 0, active = 0;
  const auto fill = [&](int s) {  // the next line enters slot s
    places[s] = {&space.sequences[next++], 0, 0, 0, places[s].products};
    std::memset(slot[s].h, 1 << (layer.out_bits - 1), layer.padded);
    std::memset(slot[s].c, 0, layer.padded * sizeof(int16_t));
  };
  for (; active < slots; ++active) {
    space.chunk[active].reserve(width * chunk);
    space.h[active].reserve(layer.padded);
    space.c[active].reserve(layer.padded);
    slot[active] = {nullptr, space.h[active].data(), space.c[active].data(), nullptr};
    places[active].products = space.chunk[active].data();
    fill(active);
  }
  for (bool backwards = false; active > 0; backwards = !backwards) {
    for (int s = 0; s < active; ++s) {
      Place& place = places[s];
      Sequence& line = *place.line;
      if (place.step == place.ready) {
        place.begin = place.step;
        place.ready = std::min(place.step + chunk, line.count);
        const int frame = direction == 0 ? place.begin : line.count - 1 - place.begin;
        kernels_.project({&layer.from_x, line.frames + frame * line.stride,
                          direction == 0 ? line.stride : -line.stride, place.ready - place.begin,
                          place.products});
      }
      const int frame = direction == 0 ? place.step : line.count - 1 - place.step;
      slot[s].x = place.products + (place.step - place.begin) * width;
      slot[s].out = line.next + size_t(frame) * outputs + direction * layer.hidden;
    }
    kernels_.step(layer, slot, active, space.pre.data(), backwards);
    for (int s = 0; s < active;) {
      if (++places[s].step < places[s].line->count) {
        ++s;
      } else if (next < count) {
        fill(s++);
      } else {
        --active;
        std::swap(slot[s], slot[active]);
        std::swap(places[s], places[active]);
      }
    }
  }
}

void Engine::run_dense(Workspace& space, const Line* lines, int count) const {
  const Matrix& matrix = layers_.back().matrix;
  for (int i = 0; i < count; ++i) {
    const Sequence& sequence = space.sequences[i];
    for (int t = 0; t < sequence.count; t += kChunk) {
      kernels_.dense({&matrix, sequence.frames + t * sequence.stride, sequence.stride,
                      std::min(kChunk, sequence.count - t), lines[i].scores + size_t(t) * matrix.rows});
    }
  }
}

}  // namespace zeile

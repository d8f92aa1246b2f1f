// SPDX-License-Identifier: Apache-2.0
// LSTM layers over a policy S (matrix.hpp): the products with the frames for many steps at once, then step by
// step the products with h, the gates and the cell.
#pragma once

#include "layers.hpp"

namespace zeile {

template <class S>
struct ProjectFinish {
  const int16_t* bias16;
  const int32_t* bias;
  size_t width;
  void* out;  // (frames, width)

  [[gnu::always_inline]] void operator()(int frame, int tile, const typename S::Narrow& sum) const {
    S::store_shorts(static_cast<int16_t*>(out) + frame * width + tile * kTile,
                    S::add(S::sums(sum), S::load_shorts(bias16 + tile * kTile)));
  }

  void operator()(int frame, int tile, const typename S::Wide& sum) const {
    int32_t* to = static_cast<int32_t*>(out) + frame * width + tile * kTile;
    int32_t sums[kTile];
    S::sums(sum, sums);
    for (int r = 0; r < kTile; ++r) to[r] = int32_t(uint32_t(sums[r]) + uint32_t(bias[tile * kTile + r]));
  }
};

template <class S>
void project(const FramesJob& job) {
  const Matrix& m = *job.matrix;
  const ProjectFinish<S> finish{m.bias16, m.bias, size_t(m.tiles) * kTile, job.out};
  m.narrow ? all_frames<S, typename S::Narrow>(job, finish) : all_frames<S, typename S::Wide>(job, finish);
}

// Sums of the frame and of h become pre-activations.
template <class S>
struct StepFinish {
  const int16_t* multiplier;
  size_t width;
  const void* const* x;  // [slot]: (width)
  int8_t* pre;           // (slots, width)

  [[gnu::always_inline]] void operator()(int n, int tile, const typename S::Narrow& sum) const {
    const int16_t* from_x = static_cast<const int16_t*>(x[n]) + tile * kTile;
    const typename S::Shorts a = S::add(S::sums(sum), S::load_shorts(from_x));
    S::store_signed(pre + n * width + tile * kTile, S::rescale(a, S::load_shorts(multiplier + tile * kTile)));
  }

  void operator()(int n, int tile, const typename S::Wide& sum) const {
    const int32_t* from_x = static_cast<const int32_t*>(x[n]) + tile * kTile;
    int8_t* out = pre + n * width + tile * kTile;
    int32_t sums[kTile];
    S::sums(sum, sums);
    for (int r = 0; r < kTile; ++r) {
      const int32_t a = int32_t(uint32_t(sums[r]) + uint32_t(from_x[r]));
      out[r] = int8_t(clamp(rescale(a, multiplier[tile * kTile + r]), -128, 127));
    }
  }
};

// A Ladder in registers.
template <class S>
struct Steps {
  typename S::Bytes above8, above4, above2, above1, value;

  explicit Steps(const Ladder& ladder)
      : above8(S::splat(ladder.above8)),
        above4(S::load_table(ladder.above4)),
        above2(S::load_table(ladder.above2)),
        above1(S::load_table(ladder.above1)),
        value(S::load_table(ladder.value)) {}

  [[gnu::always_inline]] typename S::Bytes operator()(typename S::Bytes p) const {
    typename S::Bytes k = S::both(S::greater(p, above8), S::splat(8));
    k = S::either(k, S::both(S::greater(p, S::lookup(above4, k)), S::splat(4)));
    k = S::either(k, S::both(S::greater(p, S::lookup(above2, k)), S::splat(2)));
    k = S::subtract(k, S::greater(p, S::lookup(above1, k)));  // a true mask is -1
    return S::lookup(value, k);
  }
};

template <class S>
void cell_by_ladders(const Recurrent& layer, const int8_t* pre, const Slot& slot) {
  using Bytes = typename S::Bytes;
  const Steps<S> sigmoid(layer.sigmoid), tanh(layer.tanh), tanh_cell(layer.tanh_cell);
  const int half = 1 << (layer.cell_bits - 1);
  const Bytes low = S::splat(int8_t(-half)), high = S::splat(int8_t(half - 1));
  const Bytes middle = S::splat(int8_t(1 << (layer.out_bits - 1)));
  int8_t* cells = reinterpret_cast<int8_t*>(slot.c);
  for (int j = 0; j < layer.padded; j += S::kBytes) {
    const Bytes i = sigmoid(S::load_bytes(pre + j));
    const Bytes f = sigmoid(S::load_bytes(pre + layer.padded + j));
    const Bytes g = tanh(S::load_bytes(pre + 2 * layer.padded + j));
    const Bytes o = sigmoid(S::load_bytes(pre + 3 * layer.padded + j));
    Bytes c = S::mix(f, S::load_bytes(cells + j), i, g, layer.divisor);
    c = S::larger(S::smaller(c, high), low);
    S::store_bytes(cells + j, c);
    const Bytes h = S::mix(o, tanh_cell(c), S::splat(0), S::splat(0), layer.divisor);
    S::store_bytes(slot.h + j, S::subtract(h, S::subtract(S::splat(0), middle)));
  }
}

static inline void cell_by_tables(const Recurrent& layer, const int8_t* pre, const Slot& slot) {
  const int half = 1 << (layer.cell_bits - 1), middle = 1 << (layer.out_bits - 1), n = layer.padded;
  const int round = 1 << (layer.shift - 1), scale = 1 << (layer.cell_bits - layer.out_bits - 2);
  for (int j = 0; j < layer.hidden; ++j) {
    const int i = layer.sigmoid_table[pre[j] + 128], f = layer.sigmoid_table[pre[n + j] + 128];
    const int g = layer.tanh_table[pre[2 * n + j] + 128], o = layer.sigmoid_table[pre[3 * n + j] + 128];
    const int c = ((f * slot.c[j] + i * g * scale) * layer.divisor + round) >> layer.shift;
    slot.c[j] = int16_t(clamp(c, -half, half - 1));
    slot.h[j] = uint8_t(
        ((o * layer.tanh_cell_table[slot.c[j] + half] * layer.divisor + round) >> layer.shift) + middle);
  }
}

template <class S, class Sum>
void step_of(const Recurrent& layer, const Slot* slots, int count, int8_t* pre, bool backwards) {
  const uint8_t* in[S::kInputs];
  const void* x[S::kInputs];
  for (int n = 0; n < count; ++n) {
    in[n] = slots[n].h;
    x[n] = slots[n].x;
  }
  const StepFinish<S> finish{layer.from_h.multiplier, size_t(4) * layer.padded, x, pre};
  with_count<S::kInputs>(count, [&](auto n) {
    multiply_tiles<S, Sum, decltype(n)::value>(layer.from_h, in, backwards, Each<StepFinish<S>>{finish});
  });
  for (int n = 0; n < count; ++n) {
    const int8_t* own = pre + size_t(n) * 4 * layer.padded;
    layer.ladders ? cell_by_ladders<S>(layer, own, slots[n]) : cell_by_tables(layer, own, slots[n]);
    copy(slots[n].out, slots[n].h, layer.hidden);
  }
}

template <class S>
void step(const Recurrent& layer, const Slot* slots, int count, int8_t* pre, bool backwards) {
  layer.from_h.narrow ? step_of<S, typename S::Narrow>(layer, slots, count, pre, backwards)
                      : step_of<S, typename S::Wide>(layer, slots, count, pre, backwards);
}

}  // namespace zeile

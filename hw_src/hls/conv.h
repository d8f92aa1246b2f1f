// SPDX-License-Identifier: Apache-2.0
// conv2d 3 x 3 with ReLU quantiser, and optionally a skip connection. NF * SF cycles a pixel, one more a column.
#pragma once

#include "memory.h"

namespace zeile {

// \tparam L kTarget, kRows, kInChannels, kOutChannels, kInBits, kWeightBits, kOutBits, kSkipBits (0: none), kPe, kSimd,
// kDspPe
template <class L>
class Conv {
 public:
  static constexpr int kInputs = 9 * L::kInChannels;
  static_assert(kInputs % L::kSimd == 0, "SIMD must divide 9 * input channels");
  static_assert(L::kOutChannels % L::kPe == 0, "PE must divide the output channels");
  static constexpr int kSf = kInputs / L::kSimd, kNf = L::kOutChannels / L::kPe, kTiles = kNf * kSf;
  static constexpr int kLanes = OutputLanes(L::kPe, kSf), kGroups = L::kPe / kLanes;
  static constexpr int kSumBits = SumBits(1LL * kInputs * LargestWeight(L::kWeightBits) * ((1 << L::kInBits) - 1));
  static constexpr bool kSkip = L::kSkipBits > 0;

  using In_t = Element<ap_uint<L::kInBits>, L::kInChannels>;
  using Out_t = Element<ap_uint<L::kOutBits>, L::kOutChannels>;
  using Skip_t = Element<ap_uint<kSkip ? L::kSkipBits : 1>, L::kOutChannels>;

  bool step(hls::stream<In_t>& in, hls::stream<Skip_t>& skip, hls::stream<Out_t>& out, hls::stream<Config>& config_in,
            hls::stream<Config>& config_out) {
#pragma HLS INLINE
    static_assert(kSkip, "this layer has no skip connection");
    return cycle(in, skip, out, config_in, config_out);
  }

  bool step(hls::stream<In_t>& in, hls::stream<Out_t>& out, hls::stream<Config>& config_in,
            hls::stream<Config>& config_out) {
#pragma HLS INLINE
    static_assert(!kSkip, "this layer has a skip connection, which is its second stream");
    Nothing nothing;
    return cycle(in, nothing, out, config_in, config_out);
  }

  void write(ap_uint<8> section, ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
    if (section == kWeights) weights_.write(index, data);
    if (section == kRows) rows_.write(index, data);
  }

  ap_uint<64> read(ap_uint<8> section, ap_uint<24> index) const {
#pragma HLS INLINE
    return section == kWeights ? weights_.read(index) : section == kRows ? rows_.read(index) : ap_uint<64>(0);
  }

 private:
  static constexpr int kSettle = 4;  // cycles from a column's last pixel to its use: the memory's write has landed
  using Pixel_t = Pack<ap_uint<L::kInBits>, L::kInChannels>;
  using Operand_t = ap_int<L::kInBits + 1>;
  using Sum_t = ap_int<kSumBits>;

  struct Nothing {  // in place of the skip's stream
    bool empty() const { return false; }
    Skip_t read() const { return Skip_t(); }
  };

  template <class Skip>
  bool cycle(hls::stream<In_t>& in, Skip& skip, hls::stream<Out_t>& out, hls::stream<Config>& config_in,
             hls::stream<Config>& config_out) {
#pragma HLS INLINE
    if (Configure(*this, L::kTarget, 0, config_in, config_out)) return true;
    if (in.empty() && filled_ == 0 && !draining_) return false;
    const bool drained = drain(skip, out);
    const bool computed = compute();
    const bool received = receive(in);
    return drained || computed || received || settling_ != 0;
  }

  // Bias, skip, rescaling and ReLU of kLanes finished sums; the pixel leaves with its last ones.
  template <class Skip>
  bool drain(Skip& skip, hls::stream<Out_t>& out) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = finished_ type = complete dim = 1
#pragma HLS ARRAY_PARTITION variable = pixel_.data.v type = complete dim = 1
#pragma HLS ARRAY_PARTITION variable = added_.data.v type = complete dim = 1
    const bool first = row_address_ == 0, last = row_address_ == kNf * kGroups - 1;
    if (!draining_ || (first && skip.empty()) || (last && out.full())) return false;
    if (first) added_ = skip.read();
    ap_uint<L::kOutBits> results[kLanes];
  Drain_Lanes:
    for (int l = 0; l < kLanes; ++l) {
#pragma HLS UNROLL
      const Row row = rows_.at(0, l, row_address_);
      const ap_int<32> skipped = kSkip ? ap_int<32>(row.gain * added_.data.v[l]) : ap_int<32>(0);
      const ap_int<32> accumulator = row.bias + ap_int<32>(finished_[l]) + skipped;
      results[l] = ClampUnsigned<L::kOutBits>(Rescale(accumulator, row.multiplier));
    }
    ShiftIn(results, pixel_.data.v);
    ShiftOut<kLanes>(added_.data.v);
    ShiftOut<kLanes>(finished_);
    draining_ = group_ != kGroups - 1;
    group_ = Next<kGroups>(group_);
    row_address_ = Next<kNf * kGroups>(row_address_);
    if (last) {
      pixel_.last = finished_last_;
      out.write(pixel_);
    }
    return true;
  }

  // One tile of one pixel, or the preload of a column.
  bool compute() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = sums_ type = complete dim = 1
    if (preloading_) {
      const bool ready = available_ >= 2 || (available_ == 1 && last_[bank_.to_int()]);
      if (!ready) return false;
      shift_window();
      preloading_ = false;
      return true;
    }
    const bool fold_end = sf_ == kSf - 1;
    if (fold_end && draining_) return false;
    if (tile_ == 0) shift_window();
    weights_.accumulate(tile_, operands(), sf_ == 0, sums_);
    if (fold_end) {
    Compute_Finish:
      for (int p = 0; p < L::kPe; ++p) {
#pragma HLS UNROLL
        finished_[p] = sums_[p];
      }
      draining_ = true;
      finished_last_ = row_ == 0 && last_[bank_.to_int()];  // row_ already counts the row below: 0 behind the last
    }
    if (tile_ == kTiles - 1 && row_ == 0) next_column();
    sf_ = Next<kSf>(sf_);
    tile_ = Next<kTiles>(tile_);
    return true;
  }

  // The window moves down by a row: row_ comes in below, paper where the map ends.
  void shift_window() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = window_ type = complete dim = 1
#pragma HLS ARRAY_PARTITION variable = banks_ type = complete dim = 1
#pragma HLS DEPENDENCE variable = banks_ type = inter direction = RAW distance = 4 dependent = true
#pragma HLS RESET variable = banks_ off
#pragma HLS ARRAY_PARTITION variable = last_ type = complete dim = 1
    const bool paper[3] = {first_, false, last_[bank_.to_int()]};
    const bool below = row_ == L::kRows;
    const int row = below ? 0 : row_.to_int();
  Shift_Columns:
    for (int i = 0; i < 3; ++i) {
#pragma HLS UNROLL
      const ap_uint<2> bank = bank_ + (i + 3);  // columns t - 1, t, t + 1
      const Pixel_t pixel = banks_[bank.to_int()][row];
    Shift_Channels:
      for (int c = 0; c < L::kInChannels; ++c) {
#pragma HLS UNROLL
        const int top = 3 * i * L::kInChannels + c, middle = top + L::kInChannels, bottom = middle + L::kInChannels;
        window_[top] = preloading_ ? Operand_t(0) : window_[middle];
        window_[middle] = preloading_ ? Operand_t(0) : window_[bottom];
        window_[bottom] = paper[i] || below ? Operand_t(0) : Operand_t(pixel.v[c]);
      }
    }
    row_ = Next<L::kRows + 1>(row_);
  }

  Pack<Operand_t, L::kSimd> operands() const {
#pragma HLS INLINE
    Pack<Operand_t, L::kSimd> x;
  Operands_Simd:
    for (int k = 0; k < L::kSimd; ++k) {
#pragma HLS UNROLL
      x.v[k] = window_[sf_.to_int() * L::kSimd + k];
    }
    return x;
  }

  void next_column() {
#pragma HLS INLINE
    first_ = last_[bank_.to_int()];
    bank_ = bank_ + 1;
    filled_ = filled_ - 1;
    available_ = available_ - 1;
    preloading_ = true;
  }

  // One pixel into the column after the filled ones; column t + 3 would take the place of t - 1.
  bool receive(hls::stream<In_t>& in) {
#pragma HLS INLINE
    available_ = available_ + settling_[kSettle - 1];
    settling_ = settling_ << 1;
    if (in.empty() || filled_ == 3) return false;
    const In_t element = in.read();
    const ap_uint<2> bank = bank_ + filled_;
    banks_[bank.to_int()][in_row_.to_int()] = element.data;
    if (in_row_ == L::kRows - 1) {
      last_[bank.to_int()] = element.last;
      filled_ = filled_ + 1;
      settling_ = settling_ | ap_uint<kSettle>(1);
    }
    in_row_ = Next<L::kRows>(in_row_);
    return true;
  }

  MacArray<L::kWeightBits, L::kInBits + 1, L::kPe, L::kSimd, kTiles, kSumBits, L::kDspPe> weights_;
  RowStore<L::kOutChannels, 1, kGroups, kLanes> rows_;

  // Columns t - 1, t, t + 1 (read) and t + 2 (written); t lies in bank_.
  Pixel_t banks_[4][L::kRows];
  bool last_[4] = {};  // of each bank: last column of its line
  bool first_ = true;  // t is the first column of its line
  ap_uint<2> bank_ = 0;
  ap_uint<2> filled_ = 0;     // columns received from t on
  ap_uint<2> available_ = 0;  // of these, settled
  ap_uint<kSettle> settling_ = 0;
  ap_uint<Bits(L::kRows)> in_row_ = 0;

  Operand_t window_[kInputs];            // [column][row][channel], the order of the weights
  ap_uint<Bits(L::kRows + 1)> row_ = 0;  // that enters the window next; kRows is paper, 0 the next column
  bool preloading_ = true;
  ap_uint<Bits(kSf)> sf_ = 0;
  ap_uint<Bits(kTiles)> tile_ = 0;
  Sum_t sums_[L::kPe];

  Sum_t finished_[L::kPe];  // sums of the last fold, the next ones to leave in front
  bool finished_last_ = false;
  bool draining_ = false;
  ap_uint<Bits(kGroups)> group_ = 0;
  typename RowStore<L::kOutChannels, 1, kGroups, kLanes>::Address_t row_address_ = 0;
  Out_t pixel_;
  Skip_t added_;
};

}  // namespace zeile

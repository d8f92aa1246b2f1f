// SPDX-License-Identifier: Apache-2.0
// Scores of all classes. Blocks of h come step by step in any order of steps; scores leave in frame order.
// NF * SF cycles a step, NF by the model's number of classes.
#pragma once

#include "memory.h"

namespace zeile {

// \tparam L kTarget, kDirections, kHidden (of one direction), kClasses (largest K), kInBits, kWeightBits, kPe, kSimd,
//           kRingSteps, kDspPe
template <class L>
class Dense {
 public:
  static_assert(L::kHidden % L::kSimd == 0, "SIMD, the units of a block, must divide the hidden units");
  static constexpr int kBlocks = L::kHidden / L::kSimd;  // of a step of one direction
  static constexpr int kSf = L::kDirections * kBlocks, kNf = CeilDivide(L::kClasses, L::kPe), kTiles = kNf * kSf;
  static constexpr int kLanes = OutputLanes(L::kPe, kSf), kGroups = L::kPe / kLanes;
  static constexpr int kSumBits =
      SumBits(1LL * L::kDirections * L::kHidden * LargestWeight(L::kWeightBits) * (1 << (L::kInBits - 1)));

  using In_t = HiddenBlock<L::kInBits, L::kSimd, Bits(L::kRingSteps), Bits(kBlocks)>;
  using Out_t = ScoreElement<kLanes>;

  bool step(hls::stream<In_t>& forward, hls::stream<In_t>& backward, hls::stream<Out_t>& out,
            hls::stream<Config>& config_in, hls::stream<Config>& config_out) {
#pragma HLS INLINE
    static_assert(L::kDirections == 2, "this layer has one direction, hence one input");
    if (Configure(*this, L::kTarget, 0, config_in, config_out)) return true;
    const bool moving = progress(out);
    if (clear()) return true;
    const bool received_forward = receive(forward, 0), received_backward = receive(backward, 1);
    return moving || received_forward || received_backward;
  }

  bool step(hls::stream<In_t>& forward, hls::stream<Out_t>& out, hls::stream<Config>& config_in,
            hls::stream<Config>& config_out) {
#pragma HLS INLINE
    static_assert(L::kDirections == 1, "this layer has two directions, hence two inputs");
    if (Configure(*this, L::kTarget, 0, config_in, config_out)) return true;
    const bool moving = progress(out);
    if (clear()) return true;
    return receive(forward, 0) || moving;
  }

  void write(ap_uint<8> section, ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
    if (section == kWeights) weights_.write(index, data);
    if (section == kRows) rows_.write(index, data);
    if (section == kControl && index == 0) {
      classes_ = data;
      folds_ = Quotient<L::kPe>(ap_uint<24>(classes_ + (L::kPe - 1)));
    }
  }

  ap_uint<64> read(ap_uint<8> section, ap_uint<24> index) const {
#pragma HLS INLINE
    if (section == kWeights) return weights_.read(index);
    if (section == kRows) return rows_.read(index);
    return section == kControl && index == 0 ? ap_uint<64>(classes_) : ap_uint<64>(0);
  }

 private:
  static constexpr int kSettle = 8;  // cycles from a step's last block to its use: the ring's write has landed
  using Operand_t = ap_int<L::kInBits>;
  using Sum_t = ap_int<kSumBits>;
  using Place_t = ap_uint<Bits(L::kRingSteps)>;
  using RowStore_t = RowStore<kNf * L::kPe, 1, kGroups, kLanes>;
  using Row_t = typename RowStore_t::Address_t;

  struct Seen {  // the turn in which a place of the ring became complete
    ap_uint<2> turn;
    bool last;  // of its line
  };

  // After a reset no step is complete, whatever the memory holds.
  bool clear() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = seen_ type = complete dim = 1
    if (cleared_) return false;
  Clear_Directions:
    for (int d = 0; d < L::kDirections; ++d) {
#pragma HLS UNROLL
      seen_[d][place_cleared_.to_int()] = {ap_uint<2>(0), false};
    }
    cleared_ = place_cleared_ == L::kRingSteps - 1;
    place_cleared_ = Next<L::kRingSteps>(place_cleared_);
    return true;
  }

  // A block enters if its step is one of the R from the head on; else it waits. No deadlock: the steps that a direction
  // has started lie within R of its oldest unfinished one, so blocks that the head lacks stand before any that waits.
  bool receive(hls::stream<In_t>& in, int direction) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rings_ type = complete dim = 1
#pragma HLS BIND_STORAGE variable = rings_ type = ram_2p impl = uram
#pragma HLS RESET variable = rings_ off
#pragma HLS RESET variable = seen_ off
    const In_t& block = waiting_[direction];
    const bool enters = held_[direction] && (block.turn == head_.turn ||  // none lies behind the head
                                             (block.turn == ap_uint<2>(head_.turn + 1) && block.place < head_.place));
    if (enters) {
      rings_[direction][block.place.to_int() * kBlocks + block.block.to_int()] = block.h;
      if (block.block == kBlocks - 1) seen_[direction][block.place.to_int()] = {block.turn, block.last};
      held_[direction] = false;
    }
    if (held_[direction] || in.empty()) return enters;
    waiting_[direction] = in.read();
    held_[direction] = true;
    return true;
  }

  // Scores out, a tile, and the look for the next step.
  bool progress(hls::stream<Out_t>& out) {
#pragma HLS INLINE
    if (!draining_ && !running_ && !found_ && !cleared_) return false;
    const bool drained = drain(out);
    const bool computed = compute();
    const bool looked = look();
    return drained || computed || looked;
  }

  // Bias and rescaling of kLanes finished sums. Rows beyond K are skipped.
  bool drain(hls::stream<Out_t>& out) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = finished_ type = complete dim = 1
    if (!draining_ || out.full()) return false;
    Out_t element;
  Drain_Lanes:
    for (int l = 0; l < kLanes; ++l) {
#pragma HLS UNROLL
      const Row row = rows_.at(0, l, row_address_);
      const ap_int<32> accumulator = row.bias + ap_int<32>(finished_[l]);
      element.score.v[l] = ClampSigned<8>(Rescale(accumulator, row.multiplier));
    }
    ShiftOut<kLanes>(finished_);
    element.end = left_ <= kLanes;
    element.count = element.end ? left_ : ap_uint<9>(kLanes);
    element.last = element.end && finished_last_;
    out.write(element);
    left_ = left_ - element.count;
    draining_ = group_ != kGroups - 1 && !element.end;
    group_ = draining_ ? ap_uint<Bits(kGroups)>(group_ + 1) : ap_uint<Bits(kGroups)>(0);
    row_address_ = element.end ? Row_t(0) : Row_t(row_address_ + 1);
    return true;
  }

  // One tile of the head.
  bool compute() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = sums_ type = complete dim = 1
    const bool fold_end = sf_ == kSf - 1;
    if (!running_ || (fold_end && draining_)) return false;
    weights_.accumulate(tile_, operands(), sf_ == 0, sums_);
    if (fold_end) {
    Compute_Finish:
      for (int p = 0; p < L::kPe; ++p) {
#pragma HLS UNROLL
        finished_[p] = sums_[p];
      }
      if (fold_ == 0) left_ = classes_;
      finished_last_ = last_;
      draining_ = true;
      running_ = fold_ != folds_ - 1;
      fold_ = running_ ? ap_uint<9>(fold_ + 1) : ap_uint<9>(0);
    }
    if (!running_) head_ = After(head_);  // its place is free
    sf_ = Next<kSf>(sf_);
    tile_ = running_ ? ap_uint<Bits(kTiles)>(tile_ + 1) : ap_uint<Bits(kTiles)>(0);
    return true;
  }

  Pack<Operand_t, L::kSimd> operands() const {
#pragma HLS INLINE
#pragma HLS DEPENDENCE variable = rings_ type = inter direction = RAW distance = 8 dependent = true
    const bool backward = sf_ >= kBlocks;
    const int address = head_.place.to_int() * kBlocks + sf_.to_int() - (backward ? kBlocks : 0);
    return rings_[backward ? L::kDirections - 1 : 0][address];
  }

  // Whether the step behind the one that is computed is complete in all directions; it starts kSettle cycles later.
  // A flag that is read while it is written is read again in the next cycle: no dependence.
  bool look() {
#pragma HLS INLINE
#pragma HLS DEPENDENCE variable = seen_ type = inter direction = RAW dependent = false
    if (!found_) {
      const Position next = running_ ? After(head_) : head_;
      const Seen forward = seen_[0][next.place.to_int()], backward = seen_[L::kDirections - 1][next.place.to_int()];
      if (!cleared_ || forward.turn != next.turn || backward.turn != next.turn) return false;
      found_ = true;
      found_last_ = forward.last;
      settle_ = kSettle;
    } else if (settle_ != 0) {
      settle_ = settle_ - 1;
    } else if (!running_) {
      running_ = true;
      last_ = found_last_;
      found_ = false;
    } else {
      return false;
    }
    return true;
  }

  struct Position {  // a step: turn * R + place, of turn two bits
    Place_t place;
    ap_uint<2> turn;
  };

  static Position After(const Position& p) {
#pragma HLS INLINE
    const bool wraps = p.place == L::kRingSteps - 1;
    return {wraps ? Place_t(0) : Place_t(p.place + 1), wraps ? ap_uint<2>(p.turn + 1) : p.turn};
  }

  MacArray<L::kWeightBits, L::kInBits, L::kPe, L::kSimd, kTiles, kSumBits, L::kDspPe> weights_;
  RowStore_t rows_;
  ap_uint<9> classes_ = L::kClasses, folds_ = kNf;  // K, ceil(K / PE)

  Pack<Operand_t, L::kSimd> rings_[L::kDirections][L::kRingSteps * kBlocks];
  Seen seen_[L::kDirections][L::kRingSteps];
  In_t waiting_[L::kDirections];
  bool held_[L::kDirections] = {};  // whether a block waits
  Place_t place_cleared_ = 0;
  bool cleared_ = false;

  Position head_ = {Place_t(0), ap_uint<2>(1)};  // the step that is or will be computed
  bool found_ = false, found_last_ = false;      // the next step is complete; it ends its line
  ap_uint<4> settle_ = 0;
  bool running_ = false, last_ = false;
  ap_uint<Bits(kSf)> sf_ = 0;
  ap_uint<Bits(kTiles)> tile_ = 0;
  ap_uint<9> fold_ = 0;
  Sum_t sums_[L::kPe];

  Sum_t finished_[L::kPe];  // of the last fold, the next rows in front
  bool draining_ = false, finished_last_ = false;
  ap_uint<9> left_ = 0;  // scores of the step still to leave
  ap_uint<Bits(kGroups)> group_ = 0;
  Row_t row_address_ = 0;
};

}  // namespace zeile

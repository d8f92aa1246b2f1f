// SPDX-License-Identifier: Apache-2.0
// One direction of a recurrent layer. Several lines take turns in slots, so that the MAC array issues every cycle
// although a line's next step must wait for its last h. NF * SF cycles a step.
#pragma once

#include "gates.h"
#include "memory.h"
#include "slots.h"

namespace zeile {

// \tparam L kTarget, kInputs, kHidden, kInBits, kInSigned, kWeightBits, kOutBits, kCellBits, kPe, kSimd, kSlots,
//           kRingSteps, kDspPe
// \tparam DIRECTION 0 reads the steps of a line from first to last, 1 from last to first
template <class L, int DIRECTION>
class Lstm {
 public:
  static_assert(L::kPe % 4 == 0, "PE must be a multiple of 4: a row block holds the four gates of its units");
  static constexpr int kUnits = L::kPe / 4;  // units of a row block
  static_assert(L::kHidden % kUnits == 0, "PE / 4 must divide the hidden units");
  static_assert(L::kInputs % L::kSimd == 0, "SIMD must divide the inputs");
  static_assert(L::kHidden % L::kSimd == 0, "SIMD must divide the hidden units");
  static constexpr int kSfx = L::kInputs / L::kSimd, kSfh = L::kHidden / L::kSimd, kSf = kSfx + kSfh;
  static constexpr int kNf = L::kHidden / kUnits, kTiles = kNf * kSf;
  static constexpr int kLanes = OutputLanes(kUnits, kSf), kGroups = kUnits / kLanes;  // units whose gates take a cycle
  static_assert(L::kSimd % kLanes == 0, "the gate lanes must divide SIMD: choose PE and SIMD powers of two");
  static constexpr int kA = L::kOutBits, kCell = L::kCellBits;
  static constexpr int kXBits = L::kInBits + (L::kInSigned ? 0 : 1), kOperandBits = kXBits > kA ? kXBits : kA;
  static constexpr int kSumBits = SumBits(1LL * LargestWeight(L::kWeightBits) *
                                          (1LL * L::kInputs * (1 << L::kInBits) + 1LL * L::kHidden * (1 << (kA - 1))));

  // Iterations between the last h of a step and the step that reads them. More than the depth of the pipeline, so that
  // the DEPENDENCE claims on hidden_ and cell_ are true; part of the schedule, so that the simulation has the same.
  static constexpr int kGateLatency = 24;  // the DEPENDENCE pragmas say 24, too

  using Code_t = typename Code<L::kInBits, L::kInSigned>::type;
  using In_t = Element<Code_t, L::kSimd>;
  using Out_t = HiddenBlock<kA, kUnits, Bits(L::kRingSteps), Bits(kNf)>;

  bool step(hls::stream<In_t>& in, hls::stream<Out_t>& out, hls::stream<Config>& config_in,
            hls::stream<Config>& config_out) {
#pragma HLS INLINE
    cycles_ = cycles_ + 1;
    if (Configure(*this, L::kTarget, 8 * DIRECTION, config_in, config_out)) return true;
    if (in.empty() && slots_.idle() && !draining_) return false;
    const bool moving = slots_.tick();
    const bool drained = drain(out);
    const bool issued = issue();
    const bool received = receive(in);
    const bool scheduled = slots_.schedule();
    return moving || drained || issued || received || scheduled;
  }

  void write(ap_uint<8> section, ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
    if (section == kWeights) weights_.write(index, data);
    if (section == kRows) rows_.write(index, data);
    gates_.write(section, index, data);
  }

  ap_uint<64> read(ap_uint<8> section, ap_uint<24> index) const {
#pragma HLS INLINE
    const ap_uint<64> counters[4] = {cycles_, issued_, starved_, stalled_};
    if (section == kWeights) return weights_.read(index);
    if (section == kRows) return rows_.read(index);
    if (section == kControl && index < 4) return counters[index.to_int()];
    return gates_.read(section, index);
  }

 private:
  using Schedule = Slots<DIRECTION, L::kSlots, L::kRingSteps, kSfx, kGateLatency>;
  using Operand_t = ap_int<kOperandBits>;
  using Sum_t = ap_int<kSumBits>;
  using RowStore_t = RowStore<4 * L::kHidden, 4, kGroups, kLanes>;

  // One slice into the ring.
  bool receive(hls::stream<In_t>& in) {
#pragma HLS INLINE
    if (in.empty() || !slots_.room()) return false;
    const In_t element = in.read();
    ring_[slots_.write(element.last).to_int()] = element.data;
    return true;
  }

  // One tile of the current step.
  bool issue() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = sums_ type = complete dim = 1
    if (!slots_.running()) {
      if (slots_.occupied()) starved_ = starved_ + 1;
      return false;
    }
    const bool fold_end = sf_ == kSf - 1;
    if (fold_end && draining_) {
      stalled_ = stalled_ + 1;
      return false;
    }
    issued_ = issued_ + 1;
    weights_.accumulate(tile_, operands(), sf_ == 0, sums_);
    if (fold_end) finish_block();
    if (tile_ == kTiles - 1) slots_.finish_step();
    sf_ = Next<kSf>(sf_);
    tile_ = Next<kTiles>(tile_);
    return true;
  }

  // A slice of x from the ring, or of the line's last h; these are 0 in the first step.
  Pack<Operand_t, L::kSimd> operands() const {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = ring_ type = ram_2p impl = uram
#pragma HLS RESET variable = ring_ off
#pragma HLS DEPENDENCE variable = ring_ type = inter direction = RAW distance = 8 dependent = true
#pragma HLS ARRAY_PARTITION variable = hidden_ type = complete dim = 2
#pragma HLS BIND_STORAGE variable = hidden_ type = ram_2p impl = lutram
#pragma HLS RESET variable = hidden_ off
#pragma HLS DEPENDENCE variable = hidden_ type = inter direction = RAW distance = 24 dependent = true
    const typename Schedule::Step& step = slots_.current();
    const bool from_x = sf_ < kSfx;
    const int address = from_x ? step.at.address.to_int() + sf_.to_int() : 0;
    const int slice = from_x ? 0 : sf_.to_int() - kSfx;
    const Pack<Code_t, L::kSimd> x = ring_[address];
    const int row = half(step, step.half ^ ap_uint<1>(1)) + slice;
    Pack<Operand_t, L::kSimd> result;
  Operands_Simd:
    for (int k = 0; k < L::kSimd; ++k) {
#pragma HLS UNROLL
      const Operand_t h = step.first ? Operand_t(0) : Operand_t(hidden_[row][k]);
      result.v[k] = from_x ? Operand_t(x.v[k]) : h;
    }
    return result;
  }

  static int half(const typename Schedule::Step& step, ap_uint<1> half) {
#pragma HLS INLINE
    return (half.to_int() * L::kSlots + step.slot.to_int()) * kSfh;
  }

  // The sums of a row block are complete: they go to the gates.
  void finish_block() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = finished_ type = complete dim = 0
  Finish_Gates:
    for (int gate = 0; gate < 4; ++gate) {
#pragma HLS UNROLL
    Finish_Units:
      for (int u = 0; u < kUnits; ++u) {
#pragma HLS UNROLL
        finished_[gate][u] = sums_[gate * kUnits + u];
      }
    }
    finished_step_ = slots_.current();
    draining_ = true;
  }

  // Gates, cell and h of kLanes units; the block leaves with its last ones.
  bool drain(hls::stream<Out_t>& out) {
#pragma HLS INLINE
    const bool block_end = group_ == kGroups - 1;
    if (!draining_ || (block_end && out.full())) return false;
    ap_int<kA> h[kLanes];
  Drain_Lanes:
    for (int l = 0; l < kLanes; ++l) {
#pragma HLS UNROLL
      h[l] = unit(l);
    }
    store(h);
    ShiftIn(h, block_.h.v);
  Drain_Gates:
    for (int gate = 0; gate < 4; ++gate) {
#pragma HLS UNROLL
      ShiftOut<kLanes>(finished_[gate]);
    }
    if (block_end) {
      block_.place = finished_step_.at.place;
      block_.turn = finished_step_.at.turn;
      block_.last = DIRECTION == 0 ? finished_step_.last : finished_step_.first;
      out.write(block_);
      block_.block = Next<kNf>(block_.block);
      draining_ = false;
    }
    if (group_address_ == kNf * kGroups - 1) slots_.finish_gates(finished_step_);
    group_ = Next<kGroups>(group_);
    group_address_ = Next<kNf * kGroups>(group_address_);
    return true;
  }

  // The next unit of lane l.
  ap_int<kA> unit(int l) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = cell_ type = complete dim = 1
#pragma HLS BIND_STORAGE variable = cell_ type = ram_2p impl = lutram
#pragma HLS RESET variable = cell_ off
#pragma HLS DEPENDENCE variable = cell_ type = inter direction = RAW distance = 24 dependent = true
    ap_uint<8> p[4];  // pre-activations + 128
  Unit_Gates:
    for (int gate = 0; gate < 4; ++gate) {
#pragma HLS UNROLL
      const Row row = rows_.at(gate, l, group_address_);
      const ap_int<32> accumulator = row.bias + ap_int<32>(finished_[gate][l]);
      p[gate] = ClampSigned<8>(Rescale(accumulator, row.multiplier)) + 128;
    }
    const int address = finished_step_.slot.to_int() * kNf * kGroups + group_address_.to_int();
    ap_int<kCell> cell = finished_step_.first ? ap_int<kCell>(0) : cell_[l][address];
    const ap_int<kA> h = gates_.unit(p, cell);
    cell_[l][address] = cell;
    return h;
  }

  // Results of a cycle into the half of hidden_ that the line's next step reads.
  void store(const ap_int<kA> (&h)[kLanes]) {
#pragma HLS INLINE
    constexpr int kPlaces = L::kSimd / kLanes;  // groups of a slice
    const int slice = Quotient<kPlaces>(group_address_).to_int();
    const int place = group_address_.to_int() - slice * kPlaces;
    const int row = half(finished_step_, finished_step_.half) + slice;
  Store_Simd:
    for (int k = 0; k < L::kSimd; ++k) {
#pragma HLS UNROLL
      if (k / kLanes == place) hidden_[row][k] = h[k % kLanes];
    }
  }

  MacArray<L::kWeightBits, kOperandBits, L::kPe, L::kSimd, kTiles, kSumBits, L::kDspPe> weights_;
  RowStore_t rows_;
  Gates<kA, kCell> gates_;

  Pack<Code_t, L::kSimd> ring_[L::kRingSteps * kSfx];
  Schedule slots_;
  ap_uint<Bits(kSf)> sf_ = 0;
  ap_uint<Bits(kTiles)> tile_ = 0;
  Sum_t sums_[L::kPe];

  Sum_t finished_[4][kUnits];  // of the last row block, the next units in front
  typename Schedule::Step finished_step_ = {};
  bool draining_ = false;
  ap_uint<Bits(kGroups)> group_ = 0;
  typename RowStore_t::Address_t group_address_ = 0;  // block * kGroups + group
  Out_t block_ = {};
  ap_int<kA> hidden_[2 * L::kSlots * kSfh][L::kSimd];      // [half][slot][slice]
  ap_int<kCell> cell_[kLanes][L::kSlots * kNf * kGroups];  // [lane][slot][unit]

  ap_uint<64> cycles_ = 0, issued_ = 0, starved_ = 0, stalled_ = 0;
};

}  // namespace zeile

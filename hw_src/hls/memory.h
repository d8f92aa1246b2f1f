// SPDX-License-Identifier: Apache-2.0
// Parameters of a model on chip: weights with their MAC array, rows (bias, multiplier, gain) and tables.
// Words are addressed as in LOAD and READ packets; writes beyond the end are lost, reads there give 0. Configuration
// and lines never meet, and a read follows a write only after its packet was answered: hence no RAW dependence.
#pragma once

#include "arithmetic.h"

namespace zeile {

// A weight of W bits as it is stored; W = 1 stores a sign.
template <int W>
struct WeightCode {
  using Stored = ap_int<W>;
  static ap_int<W> Value(Stored code) { return code; }
  static Stored FromBits(ap_uint<W> bits) { return Stored(bits); }
  static ap_uint<W> ToBits(Stored code) { return ap_uint<W>(code); }
};

template <>
struct WeightCode<1> {
  using Stored = ap_uint<1>;
  static ap_int<2> Value(Stored code) { return ap_int<2>(ap_int<3>(ap_uint<2>(code) << 1) - 1); }
  static Stored FromBits(ap_uint<1> bits) { return bits; }
  static ap_uint<1> ToBits(Stored code) { return code; }
};

// Weights of a layer and PE x SIMD multipliers. invariant: tile = nf * SF + sf
// \tparam X bits of a signed operand   \tparam S bits of a sum
// \tparam DSP_PE rows whose products are made in DSP slices, two in each; the others' in LUTs
template <int W, int X, int PE, int SIMD, int TILES, int S, int DSP_PE>
class MacArray {
 public:
  static_assert(0 <= DSP_PE && DSP_PE <= PE, "there are PE rows");
  static constexpr int kPaired = DSP_PE / 2 * 2;           // of an odd number the last is made in LUTs
  static constexpr int kCodes = 64 / W;                    // weights of a word; none straddles two
  static constexpr int kParts = CeilDivide(SIMD, kCodes);  // words of an entry
  static constexpr int kWords = TILES * PE * kParts;

  // One cycle of all PEs: sums[p] = (first ? 0 : sums[p]) + weights[tile][p] . x
  void accumulate(ap_uint<24> tile, const Pack<ap_int<X>, SIMD>& x, bool first, ap_int<S> (&sums)[PE]) const {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = weights_ type = complete dim = 3
#pragma HLS ARRAY_RESHAPE variable = weights_ type = complete dim = 2
#pragma HLS DEPENDENCE variable = weights_ type = inter direction = RAW dependent = false
#pragma HLS RESET variable = weights_ off
    ap_int<S> next[PE];
#pragma HLS ARRAY_PARTITION variable = next type = complete dim = 1
  Accumulate_Clear:
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      next[p] = first ? ap_int<S>(0) : sums[p];
    }
  Accumulate_Simd:
    for (int k = 0; k < SIMD; ++k) {  // PEs inside: the simulation's vectors run along them
#pragma HLS UNROLL
      const typename Weight::Stored* const weights = weights_[tile.to_int()][k];
    Accumulate_Dsp:
      for (int p = 0; p < kPaired; p += 2) {
#pragma HLS UNROLL
        AccumulatePair(next[p], next[p + 1], Weight::Value(weights[p]), Weight::Value(weights[p + 1]), x.v[k]);
      }
    Accumulate_Lut:
      for (int p = kPaired; p < PE; ++p) {
#pragma HLS UNROLL
        next[p] = Accumulate(next[p], Weight::Value(weights[p]), x.v[k]);
      }
    }
  Accumulate_Store:
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      sums[p] = next[p];
    }
  }

  // The parts of an entry come in order; the last one stores it.
  void write(ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = staged_ type = complete dim = 1
    if (index >= kWords) return;
    const Place at(index);
    staged_[at.part.to_int()] = data;
    if (at.part != kParts - 1) return;
  Write_Codes:
    for (int k = 0; k < SIMD; ++k) {
#pragma HLS UNROLL
      const ap_uint<W> bits = staged_[k / kCodes] >> (k % kCodes * W);
      weights_[at.tile.to_int()][k][at.pe.to_int()] = Weight::FromBits(bits);
    }
  }

  ap_uint<64> read(ap_uint<24> index) const {
#pragma HLS INLINE
    ap_uint<64> word = 0;
    if (index >= kWords) return word;
    const Place at(index);
  Read_Codes:
    for (int k = 0; k < SIMD; ++k) {
#pragma HLS UNROLL
      const ap_uint<64> bits = Weight::ToBits(weights_[at.tile.to_int()][k][at.pe.to_int()]);
      if (at.part == k / kCodes) word = word | ap_uint<64>(bits << (k % kCodes * W));
    }
    return word;
  }

 private:
  using Weight = WeightCode<W>;

  struct Place {  // index = (tile * PE + pe) * kParts + part
    ap_uint<24> entry, tile, pe, part;
    explicit Place(ap_uint<24> index)
        : entry(Quotient<kParts>(index)),
          tile(Quotient<PE>(entry)),
          pe(entry - tile * PE),
          part(index - entry * kParts) {}
  };

  typename Weight::Stored weights_[TILES][SIMD][PE];
  ap_uint<64> staged_[kParts];
};

// Bias, multiplier and gain of a row.
struct Row {
  ap_int<32> bias;
  ap_uint<15> multiplier;
  ap_int<16> gain;
};

// Rows, LANES * BANKS of them read at a time: index = ((block * BANKS + bank) * GROUPS + group) * LANES + lane,
// and what is read together has address block * GROUPS + group.
template <int ROWS, int BANKS, int GROUPS, int LANES>
class RowStore {
 public:
  static constexpr int kWords = ROWS;
  static constexpr int kDepth = ROWS / (BANKS * LANES);
  using Address_t = ap_uint<Bits(kDepth)>;

  Row at(int bank, int lane, Address_t address) const {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = rows_ type = complete dim = 1
#pragma HLS ARRAY_PARTITION variable = rows_ type = complete dim = 2
#pragma HLS DEPENDENCE variable = rows_ type = inter direction = RAW dependent = false
#pragma HLS RESET variable = rows_ off
    return rows_[bank][lane][address.to_int()];
  }

  void write(ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
    if (index >= kWords) return;
    const Place at(index);
    Row& row = rows_[at.bank.to_int()][at.lane.to_int()][at.address.to_int()];
    row.bias = ap_int<32>(ap_uint<32>(data));
    row.multiplier = ap_uint<15>(data >> 32);
    row.gain = ap_int<16>(ap_uint<16>(data >> 48));
  }

  ap_uint<64> read(ap_uint<24> index) const {
#pragma HLS INLINE
    if (index >= kWords) return 0;
    const Place at(index);
    const Row row = rows_[at.bank.to_int()][at.lane.to_int()][at.address.to_int()];
    return ap_uint<64>(ap_uint<32>(row.bias)) | ap_uint<64>(ap_uint<64>(row.multiplier) << 32) |
           ap_uint<64>(ap_uint<64>(ap_uint<16>(row.gain)) << 48);
  }

 private:
  struct Place {
    ap_uint<24> lane, bank, address;
    explicit Place(ap_uint<24> index) {
      const ap_uint<24> groups = Quotient<LANES>(index), banks = Quotient<GROUPS>(groups),
                        block = Quotient<BANKS>(banks);
      lane = index - groups * LANES;
      bank = banks - block * BANKS;
      address = block * GROUPS + (groups - banks * GROUPS);
    }
  };

  Row rows_[BANKS][LANES][kDepth];
};

// A table of codes, eight to a word.
template <class T, int ENTRIES>
class Table {
 public:
  static_assert(ENTRIES % 8 == 0, "tables are loaded in words of eight entries");
  static constexpr int kWords = ENTRIES / 8;

  T at(ap_uint<Bits(ENTRIES)> entry) const {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = entries_ type = cyclic factor = 8 dim = 1
#pragma HLS BIND_STORAGE variable = entries_ type = ram_1wnr impl = lutram
#pragma HLS DEPENDENCE variable = entries_ type = inter direction = RAW dependent = false
#pragma HLS RESET variable = entries_ off
    return entries_[entry.to_int()];
  }

  void write(ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
    if (index >= kWords) return;
  Write_Entries:
    for (int i = 0; i < 8; ++i) {
#pragma HLS UNROLL
      entries_[8 * index.to_int() + i] = T(ap_uint<8>(data >> (8 * i)));
    }
  }

  ap_uint<64> read(ap_uint<24> index) const {
#pragma HLS INLINE
    ap_uint<64> word = 0;
    if (index >= kWords) return word;
  Read_Entries:
    for (int i = 0; i < 8; ++i) {
#pragma HLS UNROLL
      const ap_int<8> code = entries_[8 * index.to_int() + i];  // sN is read back as s8
      word = word | ap_uint<64>(ap_uint<64>(ap_uint<8>(code)) << (8 * i));
    }
    return word;
  }

 private:
  T entries_[ENTRIES];
};

// Takes a message of the configuration chain if there is one. What is for the target is given to the unit, its section
// less `first`; all else is passed on.
template <class UNIT>
bool Configure(UNIT& unit, int target, int first, hls::stream<Config>& in, hls::stream<Config>& out) {
#pragma HLS INLINE
  if (in.empty() || out.full()) return false;
  Config message = in.read();
  const ap_uint<8> section = (message.address >> 24) - first;
  const ap_uint<24> index = message.address;
  const bool mine = message.target == target && section < 8;
  if (mine && message.op == kWrite) {
    unit.write(section, index, message.data);
    return true;
  }
  if (mine && message.op == kRead) {
    message.op = kData;
    message.data = unit.read(section, index);
  }
  out.write(message);
  return true;
}

}  // namespace zeile

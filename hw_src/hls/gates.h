// SPDX-License-Identifier: Apache-2.0
// Tables of a recurrent layer, and what becomes of the four pre-activations of a unit.
#pragma once

#include "memory.h"

namespace zeile {

// \tparam A bits of gates and h   \tparam C bits of the cell
template <int A, int C>
class Gates {
 public:
  // Gates i, f, g, o from pre-activations + 128; updates the cell and returns h.
  ap_int<A> unit(const ap_uint<8> (&p)[4], ap_int<C>& cell) const {
#pragma HLS INLINE
    cell = UpdateCell<A, C>(sigmoid_.at(p[0]), sigmoid_.at(p[1]), tanh_.at(p[2]), cell);
    const ap_uint<C> entry = cell + (1 << (C - 1));
    return HiddenOutput<A>(sigmoid_.at(p[3]), tanh_cell_.at(entry));
  }

  void write(ap_uint<8> section, ap_uint<24> index, ap_uint<64> data) {
#pragma HLS INLINE
    if (section == kSigmoid) sigmoid_.write(index, data);
    if (section == kTanh) tanh_.write(index, data);
    if (section == kTanhCell) tanh_cell_.write(index, data);
  }

  // 0 where the section is no table.
  ap_uint<64> read(ap_uint<8> section, ap_uint<24> index) const {
#pragma HLS INLINE
    if (section == kSigmoid) return sigmoid_.read(index);
    if (section == kTanh) return tanh_.read(index);
    if (section == kTanhCell) return tanh_cell_.read(index);
    return 0;
  }

 private:
  Table<ap_uint<A>, 256> sigmoid_;
  Table<ap_int<A>, 256> tanh_;
  Table<ap_int<A>, 1 << C> tanh_cell_;
};

}  // namespace zeile

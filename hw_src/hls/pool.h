// SPDX-License-Identifier: Apache-2.0
// Max-pooling, columns by rows, not overlapping; one pixel a cycle. The last window of a line may lack columns.
#pragma once

#include "arithmetic.h"

namespace zeile {

// \tparam L kRows (of the input), kChannels, kBits, kPoolColumns, kPoolRows
template <class L>
class Pool {
 public:
  static_assert(L::kRows % L::kPoolRows == 0, "the rows of a window must divide the rows of the map");
  static constexpr int kOutRows = L::kRows / L::kPoolRows;

  using Code_t = ap_uint<L::kBits>;
  using Pixel_t = Pack<Code_t, L::kChannels>;
  using In_t = Element<Code_t, L::kChannels>;
  using Out_t = In_t;

  bool step(hls::stream<In_t>& in, hls::stream<Out_t>& out) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = windows_ type = complete dim = 1
#pragma HLS ARRAY_PARTITION variable = column_.v type = complete dim = 1
    if (flushing_) return flush(out);
    const bool bottom = in_row_ == L::kPoolRows - 1, right = column_index_ == L::kPoolColumns - 1;
    if (in.empty() || (bottom && right && out.full())) return false;
    const In_t element = in.read();
    column_ = in_row_ == 0 ? element.data : Largest(column_, element.data);
    const Pixel_t window = column_index_ == 0 ? column_ : Largest(windows_[row_.to_int()], column_);
    if (bottom) {
      windows_[row_.to_int()] = window;
      if (right) out.write({window, element.last});
      flushing_ = element.last && !right;
      if (row_ == kOutRows - 1) column_index_ = element.last ? Columns_t(0) : Next<L::kPoolColumns>(column_index_);
      row_ = Next<kOutRows>(row_);
    }
    in_row_ = Next<L::kPoolRows>(in_row_);
    return true;
  }

 private:
  using Columns_t = ap_uint<Bits(L::kPoolColumns)>;

  // The line ended within windows: they leave as they are.
  bool flush(hls::stream<Out_t>& out) {
#pragma HLS INLINE
    if (out.full()) return false;
    const bool last = row_ == kOutRows - 1;
    out.write({windows_[row_.to_int()], last});
    flushing_ = !last;
    row_ = Next<kOutRows>(row_);
    return true;
  }

  static Pixel_t Largest(const Pixel_t& a, const Pixel_t& b) {
#pragma HLS INLINE
    Pixel_t result;
  Largest_Channels:
    for (int c = 0; c < L::kChannels; ++c) {
#pragma HLS UNROLL
      result.v[c] = a.v[c] > b.v[c] ? a.v[c] : b.v[c];
    }
    return result;
  }

  Pixel_t windows_[kOutRows];  // maxima of the columns of the windows so far
  Pixel_t column_;             // maximum of this column's rows of one window
  Columns_t column_index_ = 0;
  ap_uint<Bits(L::kPoolRows)> in_row_ = 0;
  ap_uint<Bits(kOutRows)> row_ = 0;
  bool flushing_ = false;
};

}  // namespace zeile

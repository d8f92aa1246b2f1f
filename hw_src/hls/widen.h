// SPDX-License-Identifier: Apache-2.0
// Width converter of streams: elements of N codes in, elements of M codes out, the order of codes unchanged.
#pragma once

#include "arithmetic.h"

namespace zeile {

// \tparam T code   \tparam N codes of an input element   \tparam M codes of an output element
template <class T, int N, int M>
class Widen {
 public:
  static_assert(N % M == 0 || M % N == 0, "one of the two element sizes must divide the other");
  static constexpr int kSplit = N > M ? N / M : 1;  // outputs of an input
  static constexpr int kJoin = M > N ? M / N : 1;   // inputs of an output; a line must fill its last element

  using In_t = Element<T, N>;
  using Out_t = Element<T, M>;

  bool step(hls::stream<In_t>& in, hls::stream<Out_t>& out) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = codes_ type = complete dim = 1
    const bool fresh = part_ == 0;  // this cycle takes an element
    if (fresh && in.empty()) return false;
    if ((kSplit > 1 || joined_ == kJoin - 1) && out.full()) return false;
    if (fresh) take(in.read());
    const Out_t element = front();
    if (kSplit > 1 || joined_ == kJoin - 1) out.write(element);
    part_ = Next<kSplit>(part_);
    joined_ = Next<kJoin>(joined_);
    return true;
  }

 private:
  static constexpr int kCodes = N > M ? N : M;

  // New codes enter behind those that wait.
  void take(const In_t& element) {
#pragma HLS INLINE
  Take_Shift:
    for (int i = 0; i + N < kCodes; ++i) {
#pragma HLS UNROLL
      codes_[i] = codes_[i + N];
    }
  Take_Codes:
    for (int i = 0; i < N; ++i) {
#pragma HLS UNROLL
      codes_[kCodes - N + i] = element.data.v[i];
    }
    last_ = element.last;
  }

  // The oldest M codes; those behind them move up.
  Out_t front() {
#pragma HLS INLINE
    Out_t element;
  Front_Codes:
    for (int i = 0; i < M; ++i) {
#pragma HLS UNROLL
      element.data.v[i] = codes_[i];
    }
    element.last = last_ && part_ == kSplit - 1;
    if (kSplit > 1) {
    Front_Shift:
      for (int i = 0; i + M < kCodes; ++i) {
#pragma HLS UNROLL
        codes_[i] = codes_[i + M];
      }
    }
    return element;
  }

  T codes_[kCodes];
  bool last_ = false;
  ap_uint<Bits(kSplit)> part_ = 0;
  ap_uint<Bits(kJoin)> joined_ = 0;
};

}  // namespace zeile

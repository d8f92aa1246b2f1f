// SPDX-License-Identifier: Apache-2.0
// One AXI4-Stream beat for C simulation, for builds without the vendor's header: TDATA, TKEEP, TSTRB, TLAST. There are
// no side bands here; the vendor's hls::axis with widths 0 has the same members.
#pragma once
#include <ap_int.h>

namespace hls {

template <class T, int kUserBits = 0, int kIdBits = 0, int kDestBits = 0>
struct axis {
  static_assert(kUserBits == 0 && kIdBits == 0 && kDestBits == 0, "side bands are not simulated");
  static constexpr int kBytes = (T::width + 7) / 8;
  T data;
  ap_uint<kBytes> keep;
  ap_uint<kBytes> strb;
  ap_uint<1> last;
};

}  // namespace hls

template <int kBits, int kUserBits = 0, int kIdBits = 0, int kDestBits = 0>
using ap_axiu = hls::axis<ap_uint<kBits>, kUserBits, kIdBits, kDestBits>;

// SPDX-License-Identifier: Apache-2.0
// One stream to two readers: a map that a skip connection needs again, or the input of both directions.
#pragma once

#include "types.h"

namespace zeile {

// \tparam ELEMENT what the streams carry
template <class ELEMENT>
class Fork {
 public:
  using In_t = ELEMENT;
  using Out_t = ELEMENT;

  // Both readers get the element in the same cycle, or none.
  bool step(hls::stream<ELEMENT>& in, hls::stream<ELEMENT>& out0, hls::stream<ELEMENT>& out1) {
#pragma HLS INLINE
    if (in.empty() || out0.full() || out1.full()) return false;
    const ELEMENT element = in.read();
    out0.write(element);
    out1.write(element);
    return true;
  }
};

}  // namespace zeile

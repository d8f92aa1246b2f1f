// SPDX-License-Identifier: Apache-2.0
// Each unit of chain.h as a top function of its own, <unit>_unit: what `make unit UNIT=conv0` synthesises, to see one
// unit's interval, clock and resources without the rest.
#include "chain.h"

namespace zeile {

#define ZEILE_TYPE(type, name, depth) using name##_stream = hls::stream<type>;
using s_in_stream = hls::stream<Beat>;
using m_out_stream = hls::stream<Beat>;
ZEILE_FIFOS(ZEILE_TYPE)

}  // namespace zeile

#define ZEILE_STREAM(name) zeile::name##_stream& name
#define ZEILE_TOP(Class, name, parameters, ...) \
  static zeile::Class name##_state;             \
  void name##_unit parameters {                 \
    _Pragma("HLS PIPELINE II=1 style=flp")      \
    name##_state.step(__VA_ARGS__);             \
  }
ZEILE_UNITS(ZEILE_TOP, ZEILE_STREAM)

// SPDX-License-Identifier: Apache-2.0
// What Vitis HLS synthesises: a task for each unit of chain.h, connected by its FIFOs. The core has two AXI4-Stream
// ports and no registers; it runs from the end of reset on.
#include <hls_task.h>

#include "chain.h"

namespace zeile {

// The function of a task: one call is one cycle of its unit. Units are globals: a static inside the function would need
// a guard, which HLS refuses.
#define ZEILE_TYPE(type, name, depth) using name##_stream = hls::stream<type>;
#define ZEILE_STREAM(name) name##_stream& name
#define ZEILE_TASK(Class, name, parameters, ...) \
  static Class name##_unit;                      \
  void name##_task parameters { _Pragma("HLS PIPELINE II=1 style=flp") name##_unit.step(__VA_ARGS__); }
using s_in_stream = hls::stream<Beat>;
using m_out_stream = hls::stream<Beat>;
ZEILE_FIFOS(ZEILE_TYPE)
ZEILE_UNITS(ZEILE_TASK, ZEILE_STREAM)

}  // namespace zeile

// \param s_in packets from the host   \param m_out their answers
void zeile_core(hls::stream<zeile::Beat>& s_in, hls::stream<zeile::Beat>& m_out) {
#pragma HLS INTERFACE mode = ap_ctrl_none port = return
#pragma HLS INTERFACE mode = axis port = s_in register_mode = both
#pragma HLS INTERFACE mode = axis port = m_out register_mode = both
#pragma HLS DATAFLOW
  using namespace zeile;
#define ZEILE_FIFO(type, name, depth) hls_thread_local hls::stream<type, depth> name(#name);
#define ZEILE_START(Class, name, parameters, ...) hls_thread_local hls::task name##_run(name##_task, __VA_ARGS__);
  ZEILE_FIFOS(ZEILE_FIFO)
  ZEILE_UNITS(ZEILE_START, ZEILE_STREAM)
}

// SPDX-License-Identifier: Apache-2.0
// The whole core as a shared library: the units and FIFOs of chain.h, run in lockstep (a cycle calls every unit once:
// the same every time, and close to the cycles of the hardware), in random order (the same for the same seed), or with
// a thread a unit (races show). app/zeile/hw/csim.py builds it and calls the functions below.
#include <cstring>

#include "chain.h"
#include "sim/harness.h"

namespace zeile {

struct Core {
#define ZEILE_STREAM(name)
#define ZEILE_FIFO(type, name, depth) hls::stream<type, depth> name{#name};
#define ZEILE_UNIT(Class, name, parameters, ...)                     \
  Class name##_unit;                                                 \
  static bool name##_step(Core& core) { return core.name##_call(); } \
  bool name##_call() { return name##_unit.step(__VA_ARGS__); }
  hls::stream<Beat, 2> s_in{"s_in"}, m_out{"m_out"};
  ZEILE_FIFOS(ZEILE_FIFO)
  ZEILE_UNITS(ZEILE_UNIT, ZEILE_STREAM)
#undef ZEILE_FIFO
#undef ZEILE_UNIT

#define ZEILE_FIFO(type, name, depth) &name,
  std::vector<hls::stream_base*> Streams() { return {&s_in, ZEILE_FIFOS(ZEILE_FIFO) & m_out}; }
#undef ZEILE_FIFO

#define ZEILE_UNIT(Class, name, parameters, ...) {#name, &Core::name##_step},
  static std::vector<Unit<Core>> Units() { return {ZEILE_UNITS(ZEILE_UNIT, ZEILE_STREAM)}; }
#undef ZEILE_UNIT
#undef ZEILE_STREAM
};

using Simulated = Simulation<Core>;

}  // namespace zeile

using zeile::Simulated;

extern "C" {

// A core after reset.
//   seed: of the stalls   in_stall_permille, out_stall_permille: how often a port holds back a word
//   mode: 0 lockstep, 1 a thread a unit, 2 random order
void* zeile_core_new(uint64_t seed, int in_stall_permille, int out_stall_permille, int mode) {
  return new Simulated(seed, in_stall_permille, out_stall_permille, static_cast<zeile::Mode>(mode));
}

void zeile_core_delete(void* core) { delete static_cast<Simulated*>(core); }

// Offers words to the input; `last` sets TLAST on the last one. Returns count.
int64_t zeile_core_send(void* core, const uint64_t* words, int64_t count, int last) {
  static_cast<Simulated*>(core)->Send(words, count, last != 0);
  return count;
}

// Runs until an answer is complete, nothing is left to do, or `cycles` are over. Returns the cycles run; -1: deadlock.
int64_t zeile_core_run(void* core, int64_t cycles) { return static_cast<Simulated*>(core)->Run(cycles); }

// Takes words of the oldest answer, at most `room`; *last: whether the last one taken has TLAST. Returns their number.
int64_t zeile_core_receive(void* core, uint64_t* words, int64_t room, int* last) {
  bool ended = false;
  const int64_t taken = static_cast<Simulated*>(core)->Receive(words, room, &ended);
  *last = ended;
  return taken;
}

// Writes what the units did and how full the FIFOs were as JSON with a zero behind it. Returns its length; nothing is
// written where `room` is not greater than that.
int zeile_core_report(void* core, char* json, int64_t room) {
  const std::string text = static_cast<Simulated*>(core)->Report();
  if (static_cast<int64_t>(text.size()) < room) std::memcpy(json, text.c_str(), text.size() + 1);
  return static_cast<int>(text.size());
}

}  // extern "C"

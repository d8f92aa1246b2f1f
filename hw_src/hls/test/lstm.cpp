// SPDX-License-Identifier: Apache-2.0
// Drives Lstm<Layer, Layer::kDirection>: configuration, slices; out come the words read back, blocks (place, turn,
// block, last, h), cycles, and the counters issued, starved, stalled.
#include "lstm.h"

#include "driver.h"

using namespace zeile;
using Unit = Lstm<Layer, Layer::kDirection>;

static Unit unit;
static hls::stream<Unit::In_t> in;
static hls::stream<Unit::Out_t> out;
static hls::stream<Config> config_in, config_out;

static bool Step() { return unit.step(in, out, config_in, config_out); }

static void Take(const Unit::Out_t& block) {
  Put(block.place.to_int());
  Put(block.turn.to_int());
  Put(block.block.to_int());
  Put(block.last);
  for (const auto& h : block.h.v) Put(h.to_int());
}

static void Counter(int index) {
  Config message;
  message.op = kRead;
  message.target = Layer::kTarget;
  message.address = static_cast<uint32_t>((8 * Layer::kDirection + kControl) << 24 | index);
  message.data = 0;
  config_in.write(message);
  Step();
  Put(config_out.read().data.to_int64());
}

int main() {
  Configure(config_in, config_out, Step);
  Source<Unit::In_t> slices(in);
  Run(
      out,
      [&] {
        slices.step();
        return Step();
      },
      Take);
  for (int i = 1; i < 4; ++i) Counter(i);
}

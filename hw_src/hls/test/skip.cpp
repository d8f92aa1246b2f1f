// SPDX-License-Identifier: Apache-2.0
// A Fork and the Conv<Layer> whose skip it feeds, with ZEILE_DEPTH pixels between them: what is too short deadlocks.
#include "conv.h"
#include "driver.h"
#include "fork.h"

using namespace zeile;
using Unit = Conv<Layer>;

static Unit unit;
static Fork<Unit::In_t> fork_unit;
static hls::stream<Unit::In_t> in, map;
static hls::stream<Unit::Skip_t, ZEILE_DEPTH> skip;
static hls::stream<Unit::Out_t> out;
static hls::stream<Config> config_in, config_out;

static bool Step() {
  const bool moved = unit.step(map, skip, out, config_in, config_out);
  return fork_unit.step(in, map, skip) || moved;
}

int main() {
  Configure(config_in, config_out, Step);
  Source<Unit::In_t> pixels(in);
  Run(
      out,
      [&] {
        pixels.step();
        return Step();
      },
      PutElement<Unit::Out_t>);
}

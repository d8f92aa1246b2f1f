// SPDX-License-Identifier: Apache-2.0
// Drives Conv<Layer>: configuration, pixels, with a skip its pixels; out come the words read back, pixels, cycles.
#include "conv.h"

#include "driver.h"

using namespace zeile;
using Unit = Conv<Layer>;

static Unit unit;
static hls::stream<Unit::In_t> in;
static hls::stream<Unit::Out_t> out;
static hls::stream<Config> config_in, config_out;

#if ZEILE_SKIP
static hls::stream<Unit::Skip_t> skip;
static bool Step() { return unit.step(in, skip, out, config_in, config_out); }
#else
static bool Step() { return unit.step(in, out, config_in, config_out); }
#endif

int main() {
  Configure(config_in, config_out, Step);
  Source<Unit::In_t> pixels(in);
#if ZEILE_SKIP
  Source<Unit::Skip_t> skipped(skip);
#endif
  Run(
      out,
      [&] {
        pixels.step();
#if ZEILE_SKIP
        skipped.step();
#endif
        return Step();
      },
      PutElement<Unit::Out_t>);
}

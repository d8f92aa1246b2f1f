// SPDX-License-Identifier: Apache-2.0
// Drives Pool<Layer>: pixels in, pixels out.
#include "pool.h"

#include "driver.h"

using namespace zeile;
using Unit = Pool<Layer>;

static Unit unit;
static hls::stream<Unit::In_t> in;
static hls::stream<Unit::Out_t> out;

int main() {
  Source<Unit::In_t> pixels(in);
  Run(
      out,
      [&] {
        pixels.step();
        return unit.step(in, out);
      },
      PutElement<Unit::Out_t>);
}

// SPDX-License-Identifier: Apache-2.0
// Drives Widen<ap_uint<kBits>, kFrom, kTo>, and behind it a Fork; out come the elements of its first reader,
// cycles, and those of its second reader.
#include "widen.h"

#include "driver.h"
#include "fork.h"

using namespace zeile;
using Unit = Widen<ap_uint<Layer::kBits>, Layer::kFrom, Layer::kTo>;

static Unit unit;
static Fork<Unit::Out_t> fork_unit;
static hls::stream<Unit::In_t> in;
static hls::stream<Unit::Out_t> wide, out, other;

int main() {
  Source<Unit::In_t> elements(in);
  Stall slow;
  std::vector<Unit::Out_t> others;
  Run(
      out,
      [&] {
        elements.step();
        if (!slow() && !other.empty()) others.push_back(other.read());
        const bool forked = fork_unit.step(wide, out, other);
        const bool widened = unit.step(in, wide);
        return forked || widened;
      },
      PutElement<Unit::Out_t>);
  while (!other.empty()) others.push_back(other.read());
  for (const Unit::Out_t& element : others) PutElement(element);
}

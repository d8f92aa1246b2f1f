// SPDX-License-Identifier: Apache-2.0
// Drives Fork, both directions of Lstm<LayerL> and Dense<LayerD> (with one direction: Lstm and Dense) as in a design:
// configuration, slices; out come the words read back, score elements (count, end, last, scores) and cycles.
#include "dense.h"
#include "driver.h"
#include "fork.h"
#include "lstm.h"

using namespace zeile;
using Forward = Lstm<LayerL, 0>;
using Backward = Lstm<LayerL, 1>;
using Scores = Dense<LayerD>;

static Forward forward_lstm;
static Scores dense;
static hls::stream<Forward::In_t> in, slices_forward;
static hls::stream<Forward::Out_t> forward_blocks;
static hls::stream<Scores::Out_t> out;
static hls::stream<Config> config_in, config_forward, config_backward, config_out;

#if ZEILE_DIRECTIONS == 2
static Backward backward_lstm;
static Fork<Forward::In_t> fork_unit;
static hls::stream<Backward::In_t> slices_backward;
static hls::stream<Backward::Out_t> backward_blocks;

static bool Step() {
  bool moved = dense.step(forward_blocks, backward_blocks, out, config_backward, config_out);
  moved |= backward_lstm.step(slices_backward, backward_blocks, config_forward, config_backward);
  moved |= forward_lstm.step(slices_forward, forward_blocks, config_in, config_forward);
  moved |= fork_unit.step(in, slices_forward, slices_backward);
  return moved;
}
#else
static bool Step() {
  bool moved = dense.step(forward_blocks, out, config_forward, config_out);
  moved |= forward_lstm.step(in, forward_blocks, config_in, config_forward);
  return moved;
}
#endif

static void Take(const Scores::Out_t& element) {
  Put(element.count.to_int());
  Put(element.end);
  Put(element.last);
  for (const auto& score : element.score.v) Put(score.to_int());
}

int main() {
  Configure(config_in, config_out, Step);
  Source<Forward::In_t> slices(in);
  Run(
      out,
      [&] {
        slices.step();
        return Step();
      },
      Take);
}

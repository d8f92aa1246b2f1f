// SPDX-License-Identifier: Apache-2.0
// Which lines lie in the ring of a recurrent layer, which of them have a slot, and which slot issues next.
// A line gets a slot when it lies completely in the ring; its steps are freed together, in the order of the lines.
#pragma once

#include "arithmetic.h"

namespace zeile {

// \tparam DIRECTION 1 takes the steps of a line from last to first   \tparam SLICES ring words of a step
// \tparam LATENCY cycles from the last h of a step to the line's next step
template <int DIRECTION, int SLOTS, int STEPS, int SLICES, int LATENCY>
class Slots {
 public:
  static constexpr int kLines = 32;  // lines in the ring at most
  static constexpr int kSettle = 8;  // cycles from a line's last slice to its slot: the ring's write has landed
  static_assert(1 <= SLOTS && SLOTS <= 16, "there are 1 to 16 slots");
  static_assert(kSettle <= LATENCY && LATENCY < 32, "the latency of the gates has 5 bits and covers the memories'");

  using Address_t = ap_uint<Bits(STEPS* SLICES)>;
  using Place_t = ap_uint<Bits(STEPS)>;
  using Slot_t = ap_uint<Bits(SLOTS)>;

  // A step in the ring. Counted through all lines it is number turn * STEPS + place.
  struct Position {
    Address_t address;
    Place_t place;
    ap_uint<2> turn;
  };

  // A step to be computed: it reads h of the line's step before from one half of its slot's memory, and writes the
  // other.
  struct Step {
    Position at;
    Slot_t slot;
    ap_uint<1> half;   // written
    bool first, last;  // of its line, in the order of computation
  };

  bool idle() const { return used_ == 0; }      // no line, nor part of one, is here
  bool occupied() const { return busy_ != 0; }  // a line is in a slot
  bool running() const { return running_; }     // a step is issuing
  const Step& current() const { return current_; }

  // Whether the next slice has room.
  bool room() const { return slice_ != 0 || (used_ < STEPS && (steps_ != 0 || lines_held_ < kLines)); }

  // Take the next slice; returns its ring address.
  Address_t write(bool last) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = lines_ type = complete dim = 1
    const Address_t address = write_.address + slice_;
    if (slice_ == 0) used_ = used_ + 1;
    if (slice_ == SLICES - 1) {
      if (steps_ == 0) line_start_ = write_;
      steps_ = steps_ + 1;
      if (last) {
        lines_[newest_.to_int()] = {DIRECTION == 0 ? line_start_ : write_, steps_, false};
        newest_ = newest_ + 1;
        lines_held_ = lines_held_ + 1;
        settling_ = settling_ | ap_uint<kSettle>(1);
        steps_ = 0;
      }
      write_ = After(write_);
    }
    slice_ = Next<SLICES>(slice_);
    return address;
  }

  // The last tile of the current step has issued.
  void finish_step() {
#pragma HLS INLINE
    State& state = slots_[current_.slot.to_int()];
    running_ = false;
    if (current_.last) {
      busy_[current_.slot.to_int()] = 0;
      lines_[state.line.to_int()].done = true;
    } else {
      state.at = DIRECTION == 0 ? After(state.at) : Before(state.at);
      state.left = state.left - 1;
      state.first = false;
      state.half = state.half ^ ap_uint<1>(1);
    }
  }

  // All h of a step are on their way to memory.
  void finish_gates(const Step& step) {
#pragma HLS INLINE
    if (!step.last) slots_[step.slot.to_int()].wait = LATENCY;
  }

  // First in a cycle: time passes. Returns whether anything is on its way.
  bool tick() {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = slots_ type = complete dim = 1
    bool moving = settling_ != 0;
    loaded_ = loaded_ + settling_[kSettle - 1];
    settling_ = settling_ << 1;
  Tick_Slots:
    for (int s = 0; s < SLOTS; ++s) {
#pragma HLS UNROLL
      const ap_uint<5> wait = slots_[s].wait;
      if (wait == 1) ready_[s] = 1;
      if (wait != 0) {
        slots_[s].wait = wait - 1;
        moving = true;
      }
    }
    const Line oldest = lines_[oldest_.to_int()];
    if (lines_held_ != 0 && oldest.done) {
      used_ = used_ - oldest.steps;
      lines_[oldest_.to_int()].done = false;
      oldest_ = oldest_ + 1;
      lines_held_ = lines_held_ - 1;
      moving = true;
    }
    return moving;
  }

  // Last in a cycle: the next line takes a free slot, and if no step is issuing, the next ready slot issues.
  bool schedule() {
#pragma HLS INLINE
    const bool started = loaded_ != 0 && start();
    if (running_) return started;
    Slot_t chosen = current_.slot;
    bool found = false;
  Schedule_Slots:
    for (int i = SLOTS; i > 0; --i) {  // the nearest behind the current one wins
#pragma HLS UNROLL
      const ap_uint<6> behind = current_.slot + i;
      const ap_uint<6> slot = behind >= SLOTS ? ap_uint<6>(behind - SLOTS) : behind;
      if (ready_[slot.to_int()]) {
        chosen = slot;
        found = true;
      }
    }
    if (!found) return started;
    const State& state = slots_[chosen.to_int()];
    current_ = {state.at, chosen, state.half, state.first, state.left == 1};
    ready_[chosen.to_int()] = 0;
    running_ = true;
    return true;
  }

 private:
  using Count_t = ap_uint<Bits(STEPS + 1)>;
  using Line_t = ap_uint<Log2(kLines)>;

  struct Line {
    Position start;  // of the step to be computed first
    Count_t steps;
    bool done;
  };

  struct State {
    Position at;
    Count_t left;
    Line_t line;
    ap_uint<1> half;
    bool first;
    ap_uint<5> wait = 0;  // cycles until the next step may issue
  };

  static Position After(const Position& p) {
#pragma HLS INLINE
    if (p.place == STEPS - 1) return {Address_t(0), Place_t(0), ap_uint<2>(p.turn + 1)};
    return {Address_t(p.address + SLICES), Place_t(p.place + 1), p.turn};
  }

  static Position Before(const Position& p) {
#pragma HLS INLINE
    if (p.place == 0) return {Address_t((STEPS - 1) * SLICES), Place_t(STEPS - 1), ap_uint<2>(p.turn - 1)};
    return {Address_t(p.address - SLICES), Place_t(p.place - 1), p.turn};
  }

  bool start() {
#pragma HLS INLINE
    Slot_t slot = 0;
    bool found = false;
  Start_Slots:
    for (int s = SLOTS - 1; s >= 0; --s) {
#pragma HLS UNROLL
      if (!busy_[s]) {
        slot = s;
        found = true;
      }
    }
    if (!found) return false;
    const Line line = lines_[next_.to_int()];
    State& state = slots_[slot.to_int()];
    state.at = line.start;
    state.left = line.steps;
    state.line = next_;
    state.half = 0;
    state.first = true;
    busy_[slot.to_int()] = 1;
    ready_[slot.to_int()] = 1;
    next_ = next_ + 1;
    loaded_ = loaded_ - 1;
    return true;
  }

  // The writer.
  Position write_ = {Address_t(0), Place_t(0), ap_uint<2>(1)};  // turn 1: readers clear their flags to 0
  Position line_start_ = write_;
  ap_uint<Bits(SLICES)> slice_ = 0;
  Count_t steps_ = 0;  // whole steps of the line that comes in
  Count_t used_ = 0;   // steps in the ring, begun ones included

  // Lines that came in completely: [oldest_, next_) have or had a slot, [next_, next_ + loaded_) wait for one.
  Line lines_[kLines] = {};
  Line_t oldest_ = 0, next_ = 0, newest_ = 0;
  ap_uint<Bits(kLines + 1)> lines_held_ = 0, loaded_ = 0;
  ap_uint<kSettle> settling_ = 0;

  State slots_[SLOTS];
  ap_uint<SLOTS> busy_ = 0;   // slots with a line
  ap_uint<SLOTS> ready_ = 0;  // slots whose next step may issue
  Step current_ = {};
  bool running_ = false;
};

}  // namespace zeile

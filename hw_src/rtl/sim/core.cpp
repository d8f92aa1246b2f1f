// SPDX-License-Identifier: Apache-2.0
// The Verilated core of a design as a shared library, with the C interface of hls/sim/core.cpp: whoever drives the C++
// drives its twin. app/zeile/hw/rtlsim.py builds it; lists.h, which it generates, names FIFOs and units.
#include "lists.h"  // kFifos, kUnits

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

namespace zeile {

// The same every time for the same seed.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  int Below(int limit) { return static_cast<int>((Next() >> 1) % static_cast<uint32_t>(limit)); }
  uint32_t Next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }

 private:
  uint64_t state_;
};

// A core between an unbounded host and its two ports, which hold back words at random. An offered word stays offered.
class Twin {
 public:
  static constexpr int kPatience = 20000;  // cycles in which no FIFO moves, until it is called a deadlock

  Twin(uint64_t seed, int in_stall, int out_stall)
      : random_(seed), in_stall_(in_stall), out_stall_(out_stall), moved_(2 * kFifoCount), busy_(kUnitCount) {
    context_.randReset(2);  // memories and what has no reset begin with anything
    context_.randSeed(static_cast<int>(seed % 1000000) + 1);
    top_ = std::make_unique<Vtop>(&context_);
    top_->aresetn = 0;
    top_->s_axis_tvalid = 0;
    top_->m_axis_tready = 0;
    for (int i = 0; i < 4; ++i) Clock();
    top_->aresetn = 1;
    Clock();  // the reset is registered
  }

  void Send(const uint64_t* words, int64_t count, bool last) {
    for (int64_t i = 0; i < count; ++i) host_in_.push_back({words[i], last && i == count - 1});
    if (count > 0 && last) ++asked_;
  }

  // Runs until an answer is complete, nothing is left to do, or `cycles` are over.
  // Returns the cycles run, or -1: nothing moves, although a whole packet waits for its answer.
  int64_t Run(int64_t cycles) {
    const uint64_t answered = answered_;
    int64_t ran = 0;
    int still = 0;
    while (ran < cycles && answered_ == answered && !Idle() && still < kPatience) {
      still = Cycle() ? 0 : still + 1;
      ++ran;
    }
    deadlock_ = still >= kPatience && asked_ > answered_;
    return deadlock_ ? -1 : ran;
  }

  int64_t Receive(uint64_t* words, int64_t room, bool* last) {
    int64_t taken = 0;
    *last = false;
    while (taken < room && !host_out_.empty() && !*last) {
      words[taken++] = host_out_.front().data;
      *last = host_out_.front().last;
      host_out_.pop_front();
    }
    return taken;
  }

  std::string Report() const {
    std::string units, fifos;
    for (int i = 0; i < kUnitCount; ++i) {
      units += std::string(i ? ", " : "") + "{\"name\": \"" + kUnits[i].name + "\", \"steps\": " + Text(cycles_) +
               ", \"busy\": " + Text(busy_[i]) + "}";
    }
    for (int i = 0; i < kFifoCount; ++i) {
      fifos += std::string(i ? ", " : "") + "{\"name\": \"" + kFifos[i].name + "\", \"depth\": " +
               Text(kFifos[i].depth) + ", \"high_water\": " + Text(high_water_[i]) + ", \"fill\": " + Text(Fill(i)) +
               ", \"moved\": " + Text(moved_[2 * i]) + "}";
    }
    return "{\"mode\": \"rtl\", \"cycles\": " + Text(cycles_) + ", \"deadlock\": " + (deadlock_ ? "true" : "false") +
           ", \"broken_rules\": " + Text(broken_rules_) + ", \"last_in\": " + Text(last_in_) +
           ", \"first_out\": " + Text(first_out_) + ", \"last_out\": " + Text(last_out_) + ", \"units\": [" + units +
           "], \"fifos\": [" + fifos + "]}";
  }

 private:
  struct Beat {
    uint64_t data;
    bool last;
    bool operator==(const Beat& other) const { return data == other.data && last == other.last; }
  };

  static std::string Text(uint64_t number) { return std::to_string(number); }
  uint64_t Fill(int fifo) const { return moved_[2 * fifo] - moved_[2 * fifo + 1]; }
  bool Idle() const { return asked_ == answered_ && host_in_.empty() && Fill(0) == 0; }

  void Clock() {
    top_->clk = 0;
    top_->eval();
    top_->clk = 1;
    top_->eval();
  }

  // One cycle. Returns whether a FIFO moved, or would but for a stall of ours.
  bool Cycle() {
    bool waits = false;
    if (!offered_ && !host_in_.empty()) {
      offered_ = random_.Below(1000) >= in_stall_;
      waits = !offered_;
    }
    const Beat nothing = {random_.Next() * 0x100000001u, false};  // what an idle port shows says nothing
    const Beat& beat = offered_ ? host_in_.front() : nothing;
    top_->s_axis_tvalid = offered_;
    top_->s_axis_tdata = beat.data;
    top_->s_axis_tkeep = 0xFF;
    top_->s_axis_tlast = beat.last;
    top_->m_axis_tready = random_.Below(1000) >= out_stall_;
    top_->clk = 0;
    top_->eval();
    Take(&waits);
    const bool moved = Count();
    if (offered_ && top_->s_axis_tready) {
      host_in_.pop_front();
      offered_ = false;
      last_in_ = cycles_;
    }
    top_->clk = 1;
    top_->eval();
    ++cycles_;
    return moved || waits;
  }

  // The output port. A word that was shown must stay until it is taken.
  void Take(bool* waits) {
    const bool valid = top_->m_axis_tvalid;
    const Beat shown = {top_->m_axis_tdata, top_->m_axis_tlast != 0};
    broken_rules_ += waited_ && (!valid || !(shown == held_));
    broken_rules_ += valid && top_->m_axis_tkeep != 0xFF;
    waited_ = valid && !top_->m_axis_tready;
    held_ = shown;
    *waits |= waited_;
    if (!valid || waited_) return;
    if (host_out_.empty() || host_out_.back().last) first_out_ = cycles_;
    host_out_.push_back(shown);
    last_out_ = cycles_;
    answered_ += shown.last;
  }

  // Follows the FIFOs and the units around them. A unit is busy when one of its streams moves.
  bool Count() {
    uint64_t any = 0, moves[kMoveWords];
    for (int w = 0; w < kMoveWords; ++w) any |= moves[w] = Moves(w);
    if (!any) return false;
    for (int w = 0; w < kMoveWords; ++w) {
      for (uint64_t left = moves[w]; left; left &= left - 1) ++moved_[64 * w + __builtin_ctzll(left)];
    }
    for (int i = 0; i < kFifoCount; ++i) {
      if (Fill(i) > high_water_[i]) high_water_[i] = Fill(i);
    }
    for (int i = 0; i < kUnitCount; ++i) {
      uint64_t own = 0;
      for (int w = 0; w < kMoveWords; ++w) own |= moves[w] & kUnits[i].streams[w];
      busy_[i] += own != 0;
    }
    return true;
  }

  uint64_t Moves(int word) const {
    const auto& moves = top_->rootp->zeile_rtl__DOT__moves;
    return Word(moves, word);
  }
  static uint64_t Word(uint64_t value, int) { return value; }
  template <std::size_t N>
  static uint64_t Word(const VlWide<N>& value, int word) {
    const std::size_t at = static_cast<std::size_t>(2 * word);
    return value[at] | (at + 1 < N ? static_cast<uint64_t>(value[at + 1]) << 32 : 0);
  }

  VerilatedContext context_;
  std::unique_ptr<Vtop> top_;
  Random random_;
  int in_stall_, out_stall_;
  bool offered_ = false, waited_ = false, deadlock_ = false;
  Beat held_ = {};
  uint64_t cycles_ = 0, asked_ = 0, answered_ = 0, broken_rules_ = 0, last_in_ = 0, first_out_ = 0, last_out_ = 0;
  std::deque<Beat> host_in_, host_out_;
  std::vector<uint64_t> moved_, busy_;  // bit of `moves`; unit
  uint64_t high_water_[kFifoCount] = {};
};

}  // namespace zeile

using zeile::Twin;

extern "C" {

// As in hls/sim/core.cpp; there is only the lockstep.
void* zeile_core_new(uint64_t seed, int in_stall_permille, int out_stall_permille, int) {
  return new Twin(seed, in_stall_permille, out_stall_permille);
}

void zeile_core_delete(void* core) { delete static_cast<Twin*>(core); }

int64_t zeile_core_send(void* core, const uint64_t* words, int64_t count, int last) {
  static_cast<Twin*>(core)->Send(words, count, last != 0);
  return count;
}

int64_t zeile_core_run(void* core, int64_t cycles) { return static_cast<Twin*>(core)->Run(cycles); }

int64_t zeile_core_receive(void* core, uint64_t* words, int64_t room, int* last) {
  bool ended = false;
  const int64_t taken = static_cast<Twin*>(core)->Receive(words, room, &ended);
  *last = ended;
  return taken;
}

int zeile_core_report(void* core, char* json, int64_t room) {
  const std::string text = static_cast<Twin*>(core)->Report();
  if (static_cast<int64_t>(text.size()) < room) std::memcpy(json, text.c_str(), text.size() + 1);
  return static_cast<int>(text.size());
}

}  // extern "C"

// SPDX-License-Identifier: Apache-2.0
// Runs a core of units and FIFOs between an unbounded host and bounded ports: in lockstep, in random order, or with a
// thread a unit.
// \tparam Core has the streams s_in and m_out and `static std::vector<Unit<Core>> Units()`, from source to sink, and
// `std::vector<hls::stream_base *> Streams()`.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "packet.h"

namespace zeile {

enum class Mode { kLockstep, kThreads, kShuffled };

template <class Core>
struct Unit {
  const char* name;
  bool (*step)(Core&);  // whether anything moved
};

// How often a unit was called and moved something; written by its thread only.
struct Work {
  std::atomic<uint64_t> steps{0}, busy{0};
  void Add(bool moved) {
    steps.store(steps.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (moved) busy.store(busy.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
};

// The same every time for the same seed.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  int Below(int limit) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((state_ >> 33) % static_cast<uint64_t>(limit));
  }

 private:
  uint64_t state_;
};

template <class Core>
class Simulation {
 public:
  static constexpr int kPatience = 1000;  // cycles without a move, until it is called a deadlock

  // in_stall, out_stall: how often in a thousand a port holds back a word
  Simulation(uint64_t seed, int in_stall, int out_stall, Mode mode)
      : core_(new Core()),
        units_(Core::Units()),
        work_(new Work[units_.size()]),
        random_(seed),
        in_stall_(in_stall),
        out_stall_(out_stall),
        mode_(mode) {}

  void Send(const uint64_t* words, int64_t count, bool last) {
    for (int64_t i = 0; i < count; ++i) host_in_.push_back(MakeBeat(words[i], last && i == count - 1));
    if (count > 0 && last) ++asked_;
  }

  // Runs until an answer is complete, nothing is left to do, or `cycles` are over.
  // Returns the cycles run, or -1: no unit moves, although a whole packet waits for its answer.
  int64_t Run(int64_t cycles) {
    const uint64_t answered = answered_;
    int64_t ran = 0;
    still_ = 0;
    deadlock_ = false;
    if (mode_ == Mode::kThreads) Start();
    while (ran < cycles && answered_ == answered && !Idle() && still_ < kPatience) {
      if (mode_ == Mode::kThreads) {
        ran = Watch();
      } else {
        still_ = Cycle() ? 0 : still_ + 1;
        ++ran;
      }
    }
    if (mode_ == Mode::kThreads) Stop();
    cycles_ += static_cast<uint64_t>(ran);
    deadlock_ = still_ >= kPatience && asked_ > answered_;
    return deadlock_ ? -1 : ran;
  }

  int64_t Receive(uint64_t* words, int64_t room, bool* last) {
    int64_t taken = 0;
    *last = false;
    while (taken < room && !host_out_.empty() && !*last) {
      words[taken++] = host_out_.front().data.to_uint64();
      *last = host_out_.front().last != 0;
      host_out_.pop_front();
    }
    return taken;
  }

  std::string Report() {
    static const char* const kNames[] = {"lockstep", "threads", "shuffled"};
    std::string units, streams;
    for (std::size_t i = 0; i < units_.size(); ++i) {
      units += std::string(i ? ", " : "") + "{\"name\": \"" + units_[i].name +
               "\", \"steps\": " + std::to_string(work_[i].steps) + ", \"busy\": " + std::to_string(work_[i].busy) +
               "}";
    }
    for (hls::stream_base* stream : core_->Streams()) {
      streams += std::string(streams.empty() ? "" : ", ") + "{\"name\": \"" + stream->name() +
                 "\", \"depth\": " + std::to_string(stream->capacity()) +
                 ", \"high_water\": " + std::to_string(stream->high_water()) +
                 ", \"fill\": " + std::to_string(stream->size()) + "}";
    }
    return std::string("{\"mode\": \"") + kNames[static_cast<int>(mode_)] +
           "\", \"cycles\": " + std::to_string(cycles_) + ", \"deadlock\": " + (deadlock_ ? "true" : "false") +
           ", \"units\": [" + units + "], \"fifos\": [" + streams + "]}";
  }

 private:
  bool Idle() const { return asked_ == answered_ && host_in_.empty() && core_->s_in.empty(); }

  // A word a cycle in and out. A port that holds back counts as moving: it will go on.
  bool Ports() {
    bool moved = false;
    if (!core_->m_out.empty()) {
      moved = true;
      if (random_.Below(1000) >= out_stall_) {
        host_out_.push_back(core_->m_out.read());
        if (host_out_.back().last != 0) ++answered_;
      }
    }
    if (!host_in_.empty() && !core_->s_in.full()) {
      moved = true;
      if (random_.Below(1000) >= in_stall_) {
        core_->s_in.write(host_in_.front());
        host_in_.pop_front();
      }
    }
    return moved;
  }

  // Lockstep goes from the sink to the source: what a unit takes in a cycle makes room for the unit before it.
  // Shuffled, a unit may come several times, or not at all.
  bool Cycle() {
    const int count = static_cast<int>(units_.size());
    bool moved = Ports();
    for (int turn = count - 1; turn >= 0; --turn) {
      const int i = mode_ == Mode::kShuffled ? random_.Below(count) : turn;
      const bool unit_moved = units_[i].step(*core_);
      work_[i].Add(unit_moved);
      moved |= unit_moved;
    }
    return moved;
  }

  void Start() {
    stop_ = false;
    started_.assign(units_.size(), 0);
    for (std::size_t i = 0; i < units_.size(); ++i) {
      started_[i] = work_[i].steps;
      workers_.emplace_back([this, i] {
        while (!stop_.load(std::memory_order_relaxed)) {
          const bool moved = units_[i].step(*core_);
          work_[i].Add(moved);
          if (!moved) std::this_thread::yield();
        }
      });
    }
    begun_ = started_[0];
  }

  void Stop() {
    stop_ = true;
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  // The host's part while the units run. Nothing moved while every unit was called `kPatience` times: a deadlock.
  // Returns the cycles that the first unit has run.
  int64_t Watch() {
    uint64_t busy = 0, least = ~uint64_t{0};
    if (Ports()) ++port_moves_;
    for (std::size_t i = 0; i < units_.size(); ++i) {
      const uint64_t steps = work_[i].steps;
      busy += work_[i].busy;
      least = steps - started_[i] < least ? steps - started_[i] : least;
    }
    if (busy + port_moves_ != moves_) {
      moves_ = busy + port_moves_;
      for (std::size_t i = 0; i < units_.size(); ++i) started_[i] = work_[i].steps;
    } else if (least >= kPatience) {
      still_ = kPatience;
    }
    std::this_thread::yield();
    return static_cast<int64_t>(work_[0].steps - begun_);
  }

  std::unique_ptr<Core> core_;
  std::vector<Unit<Core>> units_;
  std::unique_ptr<Work[]> work_;
  Random random_;
  int in_stall_, out_stall_;
  Mode mode_;
  bool deadlock_ = false;
  int still_ = 0;
  uint64_t cycles_ = 0, asked_ = 0, answered_ = 0;  // packets that ended
  std::deque<Beat> host_in_, host_out_;
  // Threads only.
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
  std::vector<uint64_t> started_;
  uint64_t begun_ = 0, moves_ = 0, port_moves_ = 0;
};

}  // namespace zeile

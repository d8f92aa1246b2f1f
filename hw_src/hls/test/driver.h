// SPDX-License-Identifier: Apache-2.0
// What the drivers of single units share. A driver reads integers from its input and writes integers to its output,
// both as int64; tests/hw/test_units.py feeds it and compares. `layer.h` is written by the test.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "layer.h"
#include "types.h"

namespace zeile {

constexpr int kPatience = 20000;  // cycles without a move: longer than any stall of a test

inline int64_t Get() {
  int64_t value = 0;
  if (std::fread(&value, sizeof(value), 1, stdin) != 1) {
    std::fprintf(stderr, "driver: the input ended early\n");
    std::exit(2);
  }
  return value;
}

inline void Put(int64_t value) { std::fwrite(&value, sizeof(value), 1, stdout); }

// Holds back a stream in a given share of the cycles, or for long times at once.
class Stall {
 public:
  Stall() : state_(static_cast<uint64_t>(Get()) * 2 + 1), permille_(Get()) {}
  bool operator()() {
    if (rest_ > 0) return rest_-- > 0;
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const int64_t draw = static_cast<int64_t>((state_ >> 33) % 1000);
    if (permille_ > 0 && draw == 999) rest_ = 300;
    return draw < permille_;
  }

 private:
  uint64_t state_;
  int64_t permille_, rest_ = 0;
};

// Elements for a stream, read from the input: its stall, their number, then the codes and the last flag of
// each.
template <class ELEMENT>
class Source {
 public:
  explicit Source(hls::stream<ELEMENT>& stream) : stream_(stream) {
    elements_.resize(static_cast<std::size_t>(Get()));
    for (ELEMENT& element : elements_) {
      for (auto& code : element.data.v) code = Get();
      element.last = Get() != 0;
    }
  }
  void step() {
    const bool wait = stall_();
    if (at_ < elements_.size() && !stream_.full() && !wait) stream_.write(elements_[at_++]);
  }

 private:
  hls::stream<ELEMENT>& stream_;
  Stall stall_;
  std::vector<ELEMENT> elements_;
  std::size_t at_ = 0;
};

// Messages through the configuration chain of one unit: writes, then reads of the same words, which are put out.
template <class STEP>
void Configure(hls::stream<Config>& in, hls::stream<Config>& out, STEP step) {
  std::deque<Config> writes, reads;
  for (int64_t left = Get(); left > 0; --left) {
    Config message;
    message.target = Get();
    message.address = Get();
    message.data = Get();
    message.op = kWrite;
    writes.push_back(message);
    message.op = kRead;
    message.data = 0;
    reads.push_back(message);
  }
  writes.insert(writes.end(), reads.begin(), reads.end());
  for (std::size_t left = reads.size(); left > 0;) {
    if (!writes.empty() && !in.full()) {
      in.write(writes.front());
      writes.pop_front();
    }
    step();
    if (out.empty()) continue;
    const Config message = out.read();
    Put(message.op == kData ? static_cast<int64_t>(message.data.to_uint64()) : -1);
    --left;
  }
}

// Runs until `left` elements came out. `step` is a cycle of the unit, `take` puts an element out.
template <class STREAM, class STEP, class TAKE>
void Run(STREAM& out, STEP step, TAKE take) {
  int64_t left = Get(), cycles = 0, still = 0;
  Stall stall;
  for (; left > 0; ++cycles) {
    const bool wait = stall();
    if (!out.empty() && !wait) {
      take(out.read());
      --left;
      still = 0;
    }
    still = step() ? 0 : still + 1;
    if (still > kPatience) {
      std::fprintf(stderr, "driver: nothing moves, %lld elements are missing\n", static_cast<long long>(left));
      std::exit(3);
    }
  }
  Put(cycles);
}

template <class ELEMENT>
void PutElement(const ELEMENT& element) {
  for (const auto& code : element.data.v) Put(code.to_int());
  Put(element.last);
}

}  // namespace zeile

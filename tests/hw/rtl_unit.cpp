// SPDX-License-Identifier: Apache-2.0
// Runs one Verilated unit between streams that wait at random: the other half of rtl_unit.py, which generates ports.h.
//
//   usage: unit SEED IN_STALL OUT_STALL CYCLES PATIENCE     stalls: how often in a thousand
//
// Standard input: phases; of each, for every input stream and driven port in the order of ports.h, a count and as many
// values of whole 32-bit words. A phase ends when all of it is taken and nothing moved for PATIENCE cycles.
// Standard output: for every output stream a count and as many (cycle, value), for every input stream a count and the
// cycles, for every watched port as for a stream, then the cycles. Exit status 3: a stream broke its rules.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

using Words = std::vector<uint32_t>;

// Ports of any width as 32-bit words.
template <class T>
void Put(T& port, const uint32_t* words) {
  uint64_t value = words[0];
  if (sizeof(T) == 8) value |= static_cast<uint64_t>(words[1]) << 32;
  port = static_cast<T>(value);
}
template <std::size_t N>
void Put(VlWide<N>& port, const uint32_t* words) {
  for (std::size_t i = 0; i < N; ++i) port[i] = words[i];
}
template <class T>
void Get(const T& port, uint32_t* words) {
  words[0] = static_cast<uint32_t>(port);
  if (sizeof(T) == 8) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}
template <std::size_t N>
void Get(const VlWide<N>& port, uint32_t* words) {
  for (std::size_t i = 0; i < N; ++i) words[i] = port[i];
}

struct Random {
  uint64_t state;
  uint32_t Next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state >> 32);
  }
  bool Stalls(int permille) { return static_cast<int>((Next() >> 3) % 1000) < permille; }
};

struct Input {
  const char* name;
  int bits;
  void (*valid)(Vtop&, bool);
  bool (*ready)(Vtop&);
  void (*data)(Vtop&, const uint32_t*);
  std::deque<Words> left;
  std::vector<uint64_t> cycles;
  bool offered;
};
struct Output {
  const char* name;
  int bits;
  bool (*valid)(Vtop&);
  void (*ready)(Vtop&, bool);
  void (*data)(Vtop&, uint32_t*);
  std::vector<uint64_t> cycles;
  std::vector<Words> values;
  bool taken;   // ready in this cycle
  bool waited;  // valid was not taken in the last one, it was
  Words held;
};
struct Driven {
  int bits;
  void (*data)(Vtop&, const uint32_t*);
  std::deque<Words> left;
};
struct Watched {
  int bits;
  void (*data)(Vtop&, uint32_t*);
  std::vector<Words> values;
};

// A stream's functions by the name of its ports.
#define INPUT(name, bits)                                                   \
  {#name, bits, [](Vtop& top, bool on) { top.name##_valid = on; },          \
   [](Vtop& top) { return top.name##_ready != 0; },                         \
   [](Vtop& top, const uint32_t* words) { Put(top.name##_data, words); }, {}, {}, false}
#define OUTPUT(name, bits)                                                  \
  {#name, bits, [](Vtop& top) { return top.name##_valid != 0; },            \
   [](Vtop& top, bool on) { top.name##_ready = on; },                       \
   [](Vtop& top, uint32_t* words) { Get(top.name##_data, words); }, {}, {}, false, false, {}}
#define DRIVEN(name, bits) {bits, [](Vtop& top, const uint32_t* words) { Put(top.name, words); }, {}}
#define WATCHED(name, bits) {bits, [](Vtop& top, uint32_t* words) { Get(top.name, words); }, {}}
#include "ports.h"  // inputs, outputs, driven, watched

static std::size_t WordsOf(int bits) { return static_cast<std::size_t>(bits + 31) / 32; }

// Garbage of the right width: what a port shows that says nothing.
static Words Garbage(int bits, Random& random) {
  Words words(WordsOf(bits));
  for (uint32_t& word : words) word = random.Next();
  if (bits % 32) words.back() &= (1u << bits % 32) - 1;
  return words;
}

static Words Value(int bits) { return Words(WordsOf(bits) < 2 ? 2 : WordsOf(bits)); }  // room for a 64-bit port

static bool ReadValues(int bits, std::deque<Words>* values) {
  int64_t count;
  if (std::fread(&count, sizeof count, 1, stdin) != 1) return false;
  for (int64_t i = 0; i < count; ++i) {
    Words value = Value(bits);
    if (std::fread(value.data(), 4, WordsOf(bits), stdin) != WordsOf(bits)) std::abort();
    values->push_back(value);
  }
  return true;
}

static void WriteNumber(uint64_t number) { std::fwrite(&number, sizeof number, 1, stdout); }
static void WriteValue(int bits, const Words& value) { std::fwrite(value.data(), 4, WordsOf(bits), stdout); }

class Bench {
 public:
  Bench(uint64_t seed, int in_stall, int out_stall)
      : random_{seed * 2 + 1}, in_stall_(in_stall), out_stall_(out_stall) {
    context_.randReset(2);  // what has no reset begins with anything
    context_.randSeed(static_cast<int>(seed % 1000000) + 1);
    top_ = std::make_unique<Vtop>(&context_);
    top_->rst = 1;
    for (int i = 0; i < 4; ++i) {
      Offer(false);
      Clock();
    }
    top_->rst = 0;
  }

  // One cycle. Returns whether anything moved, or would but for a stall.
  bool Cycle() {
    bool moved = Offer(true);
    for (Output& out : outputs) out.ready(*top_, out.taken = !random_.Stalls(out_stall_));
    top_->clk = 0;
    top_->eval();
    for (Output& out : outputs) moved |= Look(out);
    for (Watched& port : watched) {
      Words value = Value(port.bits);
      port.data(*top_, value.data());
      port.values.push_back(value);
    }
    for (Input& in : inputs) {
      if (in.offered && in.ready(*top_)) {
        in.left.pop_front();
        in.cycles.push_back(cycle_);
        in.offered = false;
        moved = true;
      }
    }
    Clock();
    ++cycle_;
    return moved;
  }

  uint64_t cycle() const { return cycle_; }
  bool broken() const { return broken_; }

 private:
  bool Offer(bool running) {
    bool waits = false;
    for (Input& in : inputs) {
      if (running && !in.offered && !in.left.empty()) {
        in.offered = !random_.Stalls(in_stall_);
        waits |= !in.offered;
      }
      in.valid(*top_, in.offered);
      Words garbage = Garbage(in.bits, random_);
      garbage.resize(Value(in.bits).size());
      in.data(*top_, in.offered ? in.left.front().data() : garbage.data());
    }
    for (Driven& port : driven) {
      const Words zero = Value(port.bits);
      const bool has = running && !port.left.empty();
      port.data(*top_, has ? port.left.front().data() : zero.data());
      if (has) port.left.pop_front();
      waits |= has;
    }
    return waits;
  }

  bool Look(Output& out) {
    Words value = Value(out.bits);
    const bool valid = out.valid(*top_);
    if (valid) out.data(*top_, value.data());
    if (out.waited && (!valid || value != out.held)) {
      std::fprintf(stderr, "%s: %s before it was taken, cycle %llu\n", out.name,
                   valid ? "data changed" : "valid was withdrawn", static_cast<unsigned long long>(cycle_));
      broken_ = true;
    }
    out.waited = valid && !out.taken;
    out.held = value;
    if (valid && out.taken) {
      out.values.push_back(value);
      out.cycles.push_back(cycle_);
    }
    return valid;
  }

  void Clock() {
    top_->clk = 0;
    top_->eval();
    top_->clk = 1;
    top_->eval();
  }

  VerilatedContext context_;
  std::unique_ptr<Vtop> top_;
  Random random_;
  int in_stall_, out_stall_;
  uint64_t cycle_ = 0;
  bool broken_ = false;
};

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const auto number = [argv](int i) { return std::strtoull(argv[i], nullptr, 10); };
  Bench bench(number(1), static_cast<int>(number(2)), static_cast<int>(number(3)));
  const uint64_t most = number(4), patience = number(5);
  for (bool more = true; more;) {
    for (Input& in : inputs) more = ReadValues(in.bits, &in.left) && more;
    for (Driven& port : driven) more = ReadValues(port.bits, &port.left) && more;
    if (inputs.empty() && driven.empty()) more = false;
    for (uint64_t still = 0; still < patience && bench.cycle() < most && !bench.broken();)
      still = bench.Cycle() ? 0 : still + 1;
  }
  for (const Output& out : outputs) {
    WriteNumber(out.values.size());
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      WriteNumber(out.cycles[i]);
      WriteValue(out.bits, out.values[i]);
    }
  }
  for (const Input& in : inputs) {
    WriteNumber(in.cycles.size());
    for (const uint64_t cycle : in.cycles) WriteNumber(cycle);
  }
  for (const Watched& port : watched) {
    WriteNumber(port.values.size());
    for (const Words& value : port.values) WriteValue(port.bits, value);
  }
  WriteNumber(bench.cycle());
  return bench.broken() ? 3 : 0;
}

// SPDX-License-Identifier: Apache-2.0
// Checks every path of this CPU against a file of networks, lines and expected scores; exits with 1 on any
// mismatch.
//
// The file is written by tests/device/write_golden.py, little-endian: int32 magic, case count; for each case
// int32 size and the model description (model.hpp), int32 line count; for each line int32 frames, frames x
// frame_size codes, steps x classes scores.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

#include "engine.hpp"
#include "paths.hpp"

namespace zeile {
namespace {

constexpr int32_t kMagic = 0x444C4F47;  // "GOLD"

struct GoldenLine {
  int frames;
  std::vector<uint8_t> codes;
  std::vector<int8_t> scores;
};

struct Case {
  Model model;
  std::vector<GoldenLine> lines;
};

class File {
 public:
  explicit File(const char* name) {
    std::ifstream stream(name, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(stream), {});
  }
  int32_t number() {
    int32_t value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  const char* take(size_t size) {
    if (size > bytes_.size() - at_) throw std::runtime_error("golden file ends too early");
    at_ += size;
    return bytes_.data() + at_ - size;
  }

 private:
  std::vector<char> bytes_;
  size_t at_ = 0;
};

std::vector<Case> read_cases(const char* name) {
  File file(name);
  if (file.number() != kMagic) throw std::runtime_error("not a golden file");
  std::vector<Case> cases(file.number());
  for (Case& one : cases) {
    const size_t size = file.number();
    one.model = read_model(file.take(size), size);
    one.lines.resize(file.number());
    for (GoldenLine& line : one.lines) {
      line.frames = file.number();
      const size_t codes = size_t(line.frames) * one.model.frame_size();
      const size_t scores = size_t(one.model.steps(line.frames)) * one.model.classes();
      const char* from = file.take(codes);
      line.codes.assign(from, from + codes);
      from = file.take(scores);
      line.scores.assign(from, from + scores);
    }
  }
  return cases;
}

// Lines whose scores differ, in one batch and alone.
int mismatches(const Case& one, const Kernels& path, int threads) {
  Engine engine(one.model, path, threads);
  std::vector<std::vector<int8_t>> scores;
  std::vector<Line> lines;
  for (const GoldenLine& line : one.lines) scores.emplace_back(line.scores.size(), int8_t(99));
  for (size_t i = 0; i < scores.size(); ++i) {
    lines.push_back({one.lines[i].codes.data(), one.lines[i].frames, scores[i].data()});
  }
  int wrong = 0;
  engine.run(lines);
  for (size_t i = 0; i < scores.size(); ++i) {
    wrong += scores[i] != one.lines[i].scores;
    std::fill(scores[i].begin(), scores[i].end(), int8_t(99));
    engine.run({lines[i]});
    wrong += scores[i] != one.lines[i].scores;
  }
  return wrong;
}

int check(const char* name) {
  const std::vector<Case> cases = read_cases(name);
  int failures = 0;
  for (const Kernels& path : runnable_paths()) {
    int wrong = 0;
    for (size_t i = 0; i < cases.size(); ++i) {
      const int here = mismatches(cases[i], path, 1 + int(i % 2));
      if (here > 0) std::printf("%s: network %zu: %d mismatches\n", path.name, i, here);
      wrong += here;
    }
    std::printf("%s: %zu networks, %d mismatches\n", path.name, cases.size(), wrong);
    failures += wrong;
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace zeile

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: selftest GOLDEN\n");
    return 2;
  }
  try {
    return zeile::check(argv[1]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "selftest: %s\n", error.what());
    return 2;
  }
}

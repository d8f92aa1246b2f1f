// SPDX-License-Identifier: Apache-2.0
// CTC decoding in integers: best path and prefix beam search. The definitions, sources and rules for ties are
// app/zeile/ctc.py and app/zeile/beam_reference.py; these are the same computations. Logarithms are int64 in units
// of 2^-16 nat. The tables come from app/zeile/fixed_log.py, so there is one source of their values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace zeile {

// Scores of one line.
struct ScoreView {
  const int8_t* data;  // (steps, classes)
  int steps;
  int classes;

  const int8_t* row(int step) const { return data + int64_t(step) * classes; }
};

struct CharacterSpan {
  int label, start, end, confidence;  // steps [start, end); confidence 0 ... 10000
};

// Probability of merged labels at the steps of one line.
class Confidence {
 public:
  // merged: (classes), exp: (256) round(2^16 exp(-d / 8)).
  Confidence(ScoreView scores, const int64_t* merged, const int64_t* exp)
      : scores_(scores), merged_(merged), exp_(exp), weightless_(int(std::find(exp, exp + 256, 0) - exp)) {}

  // The largest probability of the label in the steps, in 1/10000, rounded down.
  int largest(int label, int start, int end) const;

 private:
  ScoreView scores_;
  const int64_t* merged_;
  const int64_t* exp_;
  int weightless_;  // from this distance on exp is 0
};

std::vector<CharacterSpan> best_path(ScoreView scores, const int64_t* merged, int blank, const int64_t* exp);

// A language model as an automaton with back-off; arrays as in app/zeile/language_model.py, not owned.
struct LanguageView {
  const int32_t* begin = nullptr;   // (states + 1) first arc of a state
  const int32_t* symbol = nullptr;  // (arcs) ascending in a state
  const int32_t* log = nullptr;
  const int32_t* next = nullptr;
  const int32_t* backoff_log = nullptr;  // (states)
  const int32_t* backoff_state = nullptr;
  int start = 0;
  int end = -1;  // symbol of the end of a line, or -1

  bool present() const { return begin != nullptr; }
  // Adds the symbol's logarithm to `log_sum` and returns the next state.
  int step(int state, int32_t symbol, int64_t& log_sum) const;
};

struct Rules {
  std::vector<int64_t> merged;  // (classes)
  int blank;
  int width;
  int64_t reach;
  int64_t weight;  // 1/256
  int64_t bonus;
  std::vector<std::vector<int32_t>> spelling;  // (classes) symbols of each label
  std::vector<int64_t> exp;                    // (256)
  std::vector<int64_t> log_add;                // (769)
  LanguageView language;
};

struct Reading {
  std::vector<CharacterSpan> characters;
  int64_t score;
};

// The `most` best readings of a line, best first; never more than rules.width.
std::vector<Reading> beam_search(ScoreView scores, const Rules& rules, int most);

}  // namespace zeile

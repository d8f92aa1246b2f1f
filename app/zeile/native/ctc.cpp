// SPDX-License-Identifier: Apache-2.0
#include "ctc.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace zeile {
namespace {

constexpr int64_t kImpossible = -(int64_t(1) << 60);
constexpr int64_t kScoreUnit = 65536 / 8;
constexpr int kStepBits = 10;
constexpr int64_t kCertain = 10000;

int8_t largest_of(const int8_t* row, int count) {
  int8_t top = row[0];
  for (int k = 1; k < count; ++k) top = std::max(top, row[k]);
  return top;
}

// Spans of an alignment from right to left; `before` is an index or -1.
struct Trace {
  int start, end, before;
};

struct Prefix {
  int node;   // of the tree of prefixes; 0 is the empty one
  int label;  // the last one, -1 in the empty prefix
  int state;
  int64_t in_blank, in_label, language, total;
  int64_t blank_path;  // logarithm of the best alignment that ends in the blank
  int64_t label_path;  // ... in the last label
  int blank_trace, label_start, label_trace;
};

// A prefix of the beam that grows by a label.
struct Growth {
  int from, label, state;
  int64_t mass, language;
};

class Search {
 public:
  Search(ScoreView scores, const Rules& rules)
      : scores_(scores), rules_(rules), row_(scores.classes), child_(scores.classes, -1) {
    nodes_.push_back({-1, -1});
    const int state = rules.language.present() ? rules.language.start : 0;
    beam_.push_back({0, -1, state, 0, kImpossible, 0, 0, 0, kImpossible, -1, 0, -1});
  }

  std::vector<Reading> run(size_t most) {
    for (at_ = 0; at_ < scores_.steps; ++at_) {
      read_row();
      stay();
      bound();
      grow();
      select();
    }
    return readings(most);
  }

 private:
  int64_t add(int64_t a, int64_t b) const {
    const int64_t high = std::max(a, b), distance = high - std::min(a, b);
    const int64_t index = distance >> kStepBits;
    const int64_t last = int64_t(rules_.log_add.size()) - 1;
    if (index >= last) return high + rules_.log_add[last];
    const int64_t low = rules_.log_add[index], slope = rules_.log_add[index + 1] - low;
    const int64_t part = distance & ((1 << kStepBits) - 1);
    return high + low + ((slope * part + (1 << (kStepBits - 1))) >> kStepBits);
  }

  // Log-probabilities of merged labels at this step, and the labels within reach.
  void read_row() {
    const int8_t* scores = scores_.row(at_);
    std::fill(row_.begin(), row_.end(), kImpossible);
    int64_t everything = scores[0] * kScoreUnit;
    for (int k = 0; k < scores_.classes; ++k) {
      const int64_t units = scores[k] * kScoreUnit;
      int64_t& log = row_[rules_.merged[k]];
      log = log == kImpossible ? units : add(log, units);
      if (k > 0) everything = add(everything, units);
    }
    near_.clear();
    for (int k = 0; k < scores_.classes; ++k) {
      if (row_[k] == kImpossible) continue;
      row_[k] -= everything;
      if (k != rules_.blank && row_[k] >= -rules_.reach) near_.push_back(k);
    }
  }

  // The best alignment of a prefix, its last label closed at this step.
  std::pair<int64_t, int> path(const Prefix& prefix) {
    if (prefix.label_path <= prefix.blank_path) return {prefix.blank_path, prefix.blank_trace};
    traces_.push_back({prefix.label_start, at_, prefix.label_trace});
    return {prefix.label_path, int(traces_.size()) - 1};
  }

  void stay() {
    stayed_.clear();
    paths_.clear();
    for (const Prefix& prefix : beam_) {
      paths_.push_back(path(prefix));
      Prefix next = prefix;
      next.in_blank = prefix.total + row_[rules_.blank];
      next.blank_path = paths_.back().first + row_[rules_.blank];
      next.blank_trace = paths_.back().second;
      if (prefix.label >= 0) {
        next.in_label += row_[prefix.label];
        next.label_path += row_[prefix.label];
      }
      stayed_.push_back(next);
    }
  }

  // With as many prefixes as are kept, one that grows must beat the last of those that stay.
  void bound() {
    bound_ = 2 * kImpossible;
    if (int(stayed_.size()) < rules_.width) return;
    bound_ = -2 * kImpossible;
    for (const Prefix& prefix : stayed_) {
      bound_ = std::min(bound_, add(prefix.in_blank, prefix.in_label) + prefix.language);
    }
  }

  void grow() {
    growths_.clear();
    for (int i = 0; i < int(beam_.size()); ++i) {
      const Prefix& prefix = beam_[i];
      mark_children(prefix.node, true);
      for (const int label : near_) {
        const int64_t mass = label == prefix.label ? prefix.in_blank : prefix.total;
        if (mass < kImpossible / 2) continue;
        if (child_[label] >= 0) {
          join(stayed_[child_[label]], i, label, mass + row_[label]);
          continue;
        }
        Growth growth{i, label, prefix.state, mass + row_[label], prefix.language + rules_.bonus};
        if (growth.mass + growth.language <= bound_) continue;  // a language model only takes away
        ask(growth);
        growths_.push_back(growth);
      }
      mark_children(prefix.node, false);
    }
  }

  // Notes which prefixes of the beam are this one and one label more.
  void mark_children(int node, bool on) {
    for (int j = 0; j < int(beam_.size()); ++j) {
      if (beam_[j].label >= 0 && nodes_[beam_[j].node].first == node) child_[beam_[j].label] = on ? j : -1;
    }
  }

  void ask(Growth& growth) const {
    if (!rules_.language.present()) return;
    int64_t log = 0;
    for (const int32_t symbol : rules_.spelling[growth.label]) {
      growth.state = rules_.language.step(growth.state, symbol, log);
    }
    growth.language += (std::min<int64_t>(log, 0) * rules_.weight) >> 8;
  }

  // Where the alignment of a grown prefix comes from.
  std::pair<int64_t, int> source(int from, int label) const {
    if (label != beam_[from].label) return paths_[from];
    return {beam_[from].blank_path, beam_[from].blank_trace};
  }

  void join(Prefix& prefix, int from, int label, int64_t mass) {
    prefix.in_label = add(prefix.in_label, mass);
    const auto [log, trace] = source(from, label);
    if (log + row_[label] <= prefix.label_path) return;
    prefix.label_path = log + row_[label];
    prefix.label_start = at_;
    prefix.label_trace = trace;
  }

  // Keeps the best; among equals the earlier one, prefixes that stayed before those that grew.
  void select() {
    order_.clear();
    for (Prefix& prefix : stayed_) {
      prefix.total = add(prefix.in_blank, prefix.in_label);
      order_.push_back({prefix.total + prefix.language, int(order_.size())});
    }
    for (const Growth& growth : growths_) order_.push_back({growth.mass + growth.language, int(order_.size())});
    const size_t kept = std::min<size_t>(rules_.width, order_.size());
    std::partial_sort(order_.begin(), order_.begin() + kept, order_.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    next_.clear();
    for (size_t i = 0; i < kept; ++i) {
      const int index = order_[i].second, stayed = int(stayed_.size());
      next_.push_back(index < stayed ? stayed_[index] : grown(growths_[index - stayed]));
    }
    beam_.swap(next_);
  }

  Prefix grown(const Growth& growth) {
    const auto [log, trace] = source(growth.from, growth.label);
    return {node(beam_[growth.from].node, growth.label),
            growth.label,
            growth.state,
            kImpossible,
            growth.mass,
            growth.language,
            growth.mass,
            kImpossible,
            log + row_[growth.label],
            -1,
            at_,
            trace};
  }

  // A prefix that left the beam and comes back is the same node, so that its offspring knows it.
  int node(int parent, int label) {
    const uint64_t key = uint64_t(parent) << 32 | uint32_t(label);
    const auto [found, added] = index_.try_emplace(key, int(nodes_.size()));
    if (added) nodes_.push_back({parent, label});
    return found->second;
  }

  std::vector<Reading> readings(size_t most) {
    const LanguageView& language = rules_.language;
    std::vector<std::pair<int64_t, const Prefix*>> ranked;
    for (const Prefix& prefix : beam_) {
      int64_t log = 0;
      if (language.present() && language.end >= 0) language.step(prefix.state, language.end, log);
      log = std::min<int64_t>(log, 0);
      ranked.push_back({prefix.total + prefix.language + ((log * rules_.weight) >> 8), &prefix});
    }
    std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    ranked.resize(std::min(most, ranked.size()));
    std::vector<Reading> readings;
    const Confidence confidence(scores_, rules_.merged.data(), rules_.exp.data());
    for (const auto& [score, prefix] : ranked) {
      Reading reading{{}, score};
      int place = prefix->node;
      for (int trace = path(*prefix).second; trace >= 0; trace = traces_[trace].before, place = nodes_[place].first) {
        const int label = nodes_[place].second, start = traces_[trace].start, end = traces_[trace].end;
        reading.characters.push_back({label, start, end, confidence.largest(label, start, end)});
      }
      std::reverse(reading.characters.begin(), reading.characters.end());
      readings.push_back(std::move(reading));
    }
    return readings;
  }

  const ScoreView scores_;
  const Rules& rules_;
  int at_ = 0;
  int64_t bound_ = 0;
  std::vector<int64_t> row_;  // (classes) log-probabilities of merged labels
  std::vector<int> near_;
  std::vector<int> child_;  // (classes) place in the beam of the prefix grown by a label, or -1
  std::vector<Prefix> beam_, stayed_, next_;
  std::vector<std::pair<int64_t, int>> paths_;  // of each prefix of the beam: logarithm and trace
  std::vector<Growth> growths_;
  std::vector<std::pair<int64_t, int>> order_;
  std::vector<Trace> traces_;
  std::vector<std::pair<int, int>> nodes_;  // parent and label
  std::unordered_map<uint64_t, int> index_;
};

}  // namespace

int Confidence::largest(int label, int start, int end) const {
  constexpr int kBlock = 16;  // classes that are passed over together where all of them weigh nothing, as most do
  int64_t best = 0;
  for (int t = start; t < end; ++t) {
    const int8_t* row = scores_.row(t);
    const int top = largest_of(row, scores_.classes), nothing = top - weightless_;
    int64_t sum = 0, part = 0;
    for (int first = 0; first < scores_.classes; first += kBlock) {
      const int last = std::min(first + kBlock, scores_.classes);
      if (last == first + kBlock && largest_of(row + first, kBlock) <= nothing) continue;
      for (int k = first; k < last; ++k) {
        const int64_t weight = exp_[top - row[k]];
        sum += weight;
        part += merged_[k] == label ? weight : 0;
      }
    }
    best = std::max(best, part * kCertain / sum);
  }
  return int(best);
}

std::vector<CharacterSpan> best_path(ScoreView scores, const int64_t* merged, int blank, const int64_t* exp) {
  std::vector<CharacterSpan> spans;
  const Confidence confidence(scores, merged, exp);
  int before = blank;
  for (int t = 0; t < scores.steps; ++t) {
    const int8_t* row = scores.row(t);
    const int label = int(merged[std::find(row, row + scores.classes, largest_of(row, scores.classes)) - row]);
    if (label != blank && label == before) {
      spans.back().end = t + 1;
    } else if (label != blank) {
      spans.push_back({label, t, t + 1, 0});
    }
    before = label;
  }
  for (CharacterSpan& span : spans) span.confidence = confidence.largest(span.label, span.start, span.end);
  return spans;
}

int LanguageView::step(int state, int32_t wanted, int64_t& log_sum) const {
  while (true) {
    const int32_t* first = symbol + begin[state];
    const int32_t* last = symbol + begin[state + 1];
    const int32_t* found = std::lower_bound(first, last, wanted);
    if (found != last && *found == wanted) {
      log_sum += log[found - symbol];
      return next[found - symbol];
    }
    log_sum += backoff_log[state];
    state = backoff_state[state];
  }
}

std::vector<Reading> beam_search(ScoreView scores, const Rules& rules, int most) {
  return Search(scores, rules).run(size_t(most));
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// The Python face of CTC decoding.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <tuple>

#include "ctc.hpp"

namespace nb = nanobind;

namespace zeile {
namespace {

using Scores = nb::ndarray<const int8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Longs = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Ints = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Character = std::tuple<int, int, int, int>;

constexpr size_t kExpSize = 256;  // distances of two int8 scores

ScoreView view(const Scores& scores, size_t classes) {
  if (scores.shape(1) != classes || classes == 0) {
    throw std::invalid_argument("scores have " + std::to_string(scores.shape(1)) + " classes, the decoder has " +
                                std::to_string(classes));
  }
  return {scores.data(), int(scores.shape(0)), int(classes)};
}

std::vector<int64_t> copy(const Longs& values) { return {values.data(), values.data() + values.size()}; }

std::vector<Character> tuples(const std::vector<CharacterSpan>& spans) {
  std::vector<Character> result;
  result.reserve(spans.size());
  for (const CharacterSpan& span : spans) result.emplace_back(span.label, span.start, span.end, span.confidence);
  return result;
}

// The decoder refuses what would read outside an array, whoever calls it.
void check_labels(const Longs& merged, int blank, const Longs& exp) {
  const int64_t classes = int64_t(merged.size());
  bool good = blank >= 0 && blank < classes && exp.size() == kExpSize;
  for (int64_t k = 0; k < classes; ++k) good = good && merged.data()[k] >= 0 && merged.data()[k] < classes;
  if (!good) throw std::invalid_argument("a label is outside the alphabet, or the table of exp is not of 256 values");
}

// Arrays of a language model, kept alive for the searches that use it. zeile.language_model checks their contents.
class Language {
 public:
  Language(Ints begin, Ints symbol, Ints log, Ints next, Ints backoff_log, Ints backoff_state, int start, int end)
      : kept_{begin, symbol, log, next, backoff_log, backoff_state},
        view_{begin.data(),       symbol.data(),        log.data(), next.data(),
              backoff_log.data(), backoff_state.data(), start,      end} {
    const size_t states = backoff_log.size(), arcs = symbol.size();
    if (begin.size() != states + 1 || backoff_state.size() != states || log.size() != arcs || next.size() != arcs) {
      throw std::invalid_argument("the arrays of the language model do not fit together");
    }
  }
  const LanguageView& view() const { return view_; }

 private:
  std::vector<Ints> kept_;
  LanguageView view_;
};

class BeamSearch {
 public:
  BeamSearch(Longs merged, int blank, Longs exp, Longs log_add, int width, int64_t reach, const Language* language,
             std::vector<std::vector<int32_t>> spelling, int64_t weight, int64_t bonus) {
    check_labels(merged, blank, exp);
    if (log_add.size() < 2 || width < 1 || (language && spelling.size() != merged.size())) {
      throw std::invalid_argument("beam search: width below 1, or tables that do not fit together");
    }
    rules_ = {copy(merged), blank, width, reach, weight, bonus, std::move(spelling), copy(exp), copy(log_add), {}};
    if (language) rules_.language = language->view();
  }

  std::vector<std::tuple<std::vector<Character>, int64_t>> run(const Scores& scores, int most) const {
    if (most < 1) throw std::invalid_argument("beam search: less than one reading is asked for");
    const ScoreView line = view(scores, rules_.merged.size());
    std::vector<Reading> readings;
    {
      nb::gil_scoped_release released;
      readings = beam_search(line, rules_, most);
    }
    std::vector<std::tuple<std::vector<Character>, int64_t>> result;
    for (const Reading& reading : readings) result.emplace_back(tuples(reading.characters), reading.score);
    return result;
  }

 private:
  Rules rules_;
};

// A NamedTuple of the given values, whose references it takes. Through its Python constructor it takes five times as
// long, and a line has dozens.
template <size_t N>
nb::object named_tuple(const nb::type_object& type, const std::array<PyObject*, N>& values) {
  PyTypeObject* const raw = reinterpret_cast<PyTypeObject*>(type.ptr());
  PyObject* const made = raw->tp_alloc(raw, N);
  if (!made) nb::raise_python_error();
  for (size_t i = 0; i < N; ++i) PyTuple_SET_ITEM(made, i, values[i]);
  return nb::steal(made);
}

void check_type(const nb::type_object& type) {
  if (!PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type.ptr()), &PyTuple_Type)) {
    throw std::invalid_argument("the type of the results is no tuple");
  }
}

PyObject* integer(int64_t value) { return PyLong_FromLongLong(value); }

nb::list spans_of_best_path(const Scores& scores, const Longs& merged, int blank, const Longs& exp,
                            const nb::type_object& span) {
  check_labels(merged, blank, exp);
  check_type(span);
  nb::list result;
  for (const CharacterSpan& s : best_path(view(scores, merged.size()), merged.data(), blank, exp.data())) {
    const std::array<PyObject*, 4> values{integer(s.label), integer(s.start), integer(s.end), integer(s.confidence)};
    result.append(named_tuple(span, values));
  }
  return result;
}

// zeile.pipeline.compose without its line: where the characters of a path stand in the image.
nb::tuple characters(const std::vector<Character>& spans, const nb::tuple& names, int64_t left, int64_t width,
                     int64_t columns, int64_t per_step, const nb::type_object& character) {
  check_type(character);
  nb::list result;
  for (const auto& [label, start, end, confidence] : spans) {
    if (label < 0 || size_t(label) >= names.size() || columns < 1) {
      throw std::invalid_argument("a label is outside the alphabet, or the line has no columns");
    }
    const int64_t from = std::min(start * per_step, columns) * width / columns;
    const int64_t to = (std::min(end * per_step, columns) * width + columns - 1) / columns;
    PyObject* const name = names[label].ptr();
    Py_INCREF(name);
    result.append(named_tuple<4>(character, {name, integer(left + from), integer(left + to), integer(confidence)}));
  }
  return nb::tuple(result);
}

}  // namespace

void BindCtc(nb::module_& m) {
  m.def("best_path", &spans_of_best_path);
  m.def("characters", &characters);
  nb::class_<Language>(m, "Language").def(nb::init<Ints, Ints, Ints, Ints, Ints, Ints, int, int>());
  nb::class_<BeamSearch>(m, "BeamSearch")
      .def(nb::init<Longs, int, Longs, Longs, int, int64_t, const Language*, std::vector<std::vector<int32_t>>, int64_t,
                    int64_t>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(), nb::arg(), nb::arg(),
           nb::arg(), nb::keep_alive<1, 8>())
      .def("run", &BeamSearch::run);
}

}  // namespace zeile

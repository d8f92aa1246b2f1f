// SPDX-License-Identifier: Apache-2.0
// The Python face of the engine; everything behind it is free of Python, and trusts what it is given.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>

#include "engine.hpp"
#include "paths.hpp"

namespace nb = nanobind;

namespace zeile {

void BindCtc(nb::module_& m);       // ctc_binding.cpp
void BindGeometry(nb::module_& m);  // geometry_binding.cpp

namespace {

using Frames = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<nb::numpy, int8_t, nb::ndim<2>>;

Scores empty_scores(size_t steps, size_t classes) {
  int8_t* data = new int8_t[steps * classes];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<int8_t*>(p); });
  return Scores(data, {steps, classes}, owner);
}

// Here, because Python would give up its lock for each line to find the largest, and wait to have it back.
void check_codes(const Model& model, const Line& line) {
  const uint8_t* const end = line.frames + size_t(line.count) * model.frame_size();
  uint8_t largest = 0;
  for (const uint8_t* code = line.frames; code != end; ++code) largest = std::max(largest, *code);
  if (largest >> model.input.bits) {
    throw std::invalid_argument("a pixel code is " + std::to_string(largest) + ", the model's pixels have " +
                                std::to_string(model.input.bits) + " bits");
  }
}

std::vector<Scores> run(Engine& engine, const std::vector<Frames>& batch) {
  std::vector<Line> lines;
  std::vector<Scores> scores;
  const Model& model = engine.model();
  for (const Frames& frames : batch) {
    if (frames.shape(1) != size_t(model.frame_size())) {
      throw std::invalid_argument("frames have " + std::to_string(frames.shape(1)) +
                                  " codes each, the model needs " + std::to_string(model.frame_size()));
    }
    const int count = int(frames.shape(0));
    scores.push_back(empty_scores(model.steps(count), model.classes()));
    lines.push_back({frames.data(), count, scores.back().data()});
  }
  nb::gil_scoped_release released;
  for (const Line& line : lines) check_codes(model, line);
  engine.run(lines);
  return scores;
}

}  // namespace

NB_MODULE(_native, m) {
  nb::class_<Engine>(m, "Engine")
      .def("__init__",
           [](Engine* self, nb::bytes model, const std::string& path, int threads) {
             if (threads < 1) throw std::invalid_argument("threads must be at least 1");
             new (self) Engine(read_model(model.data(), model.size()), path_named(path), threads);
           })
      .def("run", &run)
      .def_prop_ro("path", &Engine::path)
      .def_prop_ro("threads", &Engine::threads);
  m.def("paths", [] {
    std::vector<std::string> names;
    for (const Kernels& path : runnable_paths()) names.emplace_back(path.name);
    return names;
  });
  m.def("peak_macs", [](const std::string& path) {
    const Kernels kernels = path_named(path);
    nb::gil_scoped_release released;
    return peak_macs(kernels);
  });
  BindCtc(m);
  BindGeometry(m);
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// Lines in, scores out: a model packed for one path, with its workers.
//
// A line's scores depend on that line alone, whatever the batch, its order and the number of threads. Lines
// of a batch go through the recurrent layers together; one that ends leaves its slot to the next, so nothing
// is padded.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels.hpp"
#include "model.hpp"
#include "packed.hpp"
#include "workers.hpp"

namespace zeile {

struct Line {
  const uint8_t* frames;  // (count, frame_size) pixel codes
  int count;
  int8_t* scores;  // (steps(count), classes)
};

class Engine {
 public:
  Engine(Model model, const Kernels& kernels, int threads);
  ~Engine();

  // Calls from several threads wait for each other.
  void run(const std::vector<Line>& lines);

  const Model& model() const { return model_; }
  const char* path() const { return kernels_.name; }
  int threads() const { return workers_.count(); }

 private:
  struct Workspace;
  struct Sequence;

  void run_group(Workspace& space, const Line* lines, int count) const;
  void run_maps(Workspace& space, const Line& line, int index) const;
  void run_lstm(Workspace& space, size_t layer, int count) const;
  void run_direction(Workspace& space, const Recurrent& layer, int direction, int count,
                     size_t outputs) const;
  void run_dense(Workspace& space, const Line* lines, int count) const;

  Model model_;
  Kernels kernels_;
  std::vector<PackedLayer> layers_;
  std::vector<bool> fused_;  // [layer]: a convolution that does the pool behind it
  size_t maps_ = 0;          // layers over maps, all before the first recurrent or dense one
  std::mutex mutex_;
  Workers workers_;
  std::vector<std::unique_ptr<Workspace>> spaces_;
};

}  // namespace zeile

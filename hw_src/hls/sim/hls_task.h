// SPDX-License-Identifier: Apache-2.0
// hls::task for compiling the synthesis top off the vendor's tools. The simulation never runs it (sim/core.cpp calls
// the units itself), so a task only checks that its function can be called with its streams.
#pragma once
#include <hls_stream.h>

#define hls_thread_local  // the vendor's: storage of a task's streams, one for the kernel

namespace hls {

class task {
 public:
  template <class Function, class... Streams>
  explicit task(Function function, Streams&&... streams) {
    auto call = [&] { function(streams...); };
    static_cast<void>(call);
  }
};

}  // namespace hls

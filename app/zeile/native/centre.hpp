// SPDX-License-Identifier: Apache-2.0
// Where the middle of the writing runs, and how tall the writing is.
#pragma once

#include <cstdint>
#include <vector>

#include "resize.hpp"

namespace zeile {

constexpr int64_t kSub = 16;     // sub-pixel steps
constexpr int64_t kExtent = 4;   // half the line's height, in mean deviations of ink from the centre
constexpr int64_t kStrong = 76;  // ink above this is no paper grain

using Longs = std::vector<int64_t>;

// Python's //; the divisor is positive.
inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

struct Centre {
  Longs curve;     // of each column, 1/kSub px
  int64_t radius;  // half the line's extent, 1/kSub px
};

Centre centre(const Image& ink);

}  // namespace zeile

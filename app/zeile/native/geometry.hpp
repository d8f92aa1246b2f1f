// SPDX-License-Identifier: Apache-2.0
// Geometry and contrast of a text line in integers. The definition, with its source and reasons, is
// app/zeile/normalise.py; the functions here have the same names and compute the same bits.
#pragma once

#include <cstdint>

#include "resize.hpp"

namespace zeile {

struct NormalisedLine {
  Image pixels;         // (height_px, T), paper 0 and ink up to 255; T = 0 without ink
  int64_t left, right;  // of the part of the grey image that is shown, px
};

// grey: (height, width), neither 0; height_px and stretch_percent at least 1.
NormalisedLine normalise(const uint8_t* grey, int64_t height, int64_t width, int64_t height_px,
                         int64_t stretch_percent);

}  // namespace zeile

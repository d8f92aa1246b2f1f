// SPDX-License-Identifier: Apache-2.0
// Bilinear scaling of grey images in fixed point: the same pixels as OpenCV's INTER_LINEAR_EXACT.
#pragma once

#include <cstdint>
#include <memory>

namespace zeile {

// Pixels row by row, without gaps; uninitialised when new.
struct Image {
  Image(int64_t rows, int64_t columns)
      : height(rows), width(columns), pixels(new uint8_t[size_t(rows) * size_t(columns)]) {}

  uint8_t* row(int64_t y) { return pixels.get() + y * width; }
  const uint8_t* row(int64_t y) const { return pixels.get() + y * width; }

  int64_t height, width;
  std::unique_ptr<uint8_t[]> pixels;
};

// Neither image may be empty. Both sides below 2^18.
Image resize(const Image& image, int64_t width, int64_t height);

}  // namespace zeile

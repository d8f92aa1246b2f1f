// SPDX-License-Identifier: Apache-2.0
// Source: OpenCV, modules/imgproc, resize with INTER_LINEAR_EXACT. Coordinates there are IEEE doubles computed in
// software, rounded to 1/256 px; pixels are integers from there on. Here coordinates are integers as well: the two
// 53-bit mantissas that matter are followed by hand, so no compiler or processor can round otherwise.
#include "resize.hpp"

#include <algorithm>
#include <vector>

namespace zeile {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr int kMantissa = 53;

// mantissa * 2^exponent; mantissa in [2^52, 2^53).
struct Double {
  uint64_t mantissa;
  int exponent;
};

int bit_length(Wide value) {
  const uint64_t high = uint64_t(value >> 64);
  return high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll(uint64_t(value));
}

// The nearest double, ties to even. sticky: the value is a little larger than said (and has 55 bits or more).
Double rounded(Wide value, int exponent, bool sticky) {
  const int drop = bit_length(value) - kMantissa;
  if (drop <= 0) return {uint64_t(value) << -drop, exponent + drop};
  uint64_t mantissa = uint64_t(value >> drop);
  const Wide rest = value & ((Wide(1) << drop) - 1), half = Wide(1) << (drop - 1);
  mantissa += rest > half || (rest == half && (sticky || (mantissa & 1)));
  if (mantissa >> kMantissa) return {mantissa >> 1, exponent + drop + 1};
  return {mantissa, exponent + drop};
}

Double quotient(uint64_t dividend, int exponent, uint64_t divisor) {
  constexpr int kShift = 110 - kMantissa;  // leaves room for a dividend of 53 bits and keeps 55 bits of the quotient
  const Wide value = Wide(dividend) << kShift;
  return rounded(value / divisor, exponent - kShift, value % divisor != 0);
}

// Where the pixels of an axis come from, in 1/256 px: bits 8 and up say from which pixel, and bits 0 to 7 how far it
// is to the next one; these are 0 at the last pixel.
struct Axis {
  Axis(int64_t source, int64_t target) : from(size_t(target)) {
    const Double enlarged = quotient(uint64_t(target) << 30, -30, uint64_t(source));
    const Double inverse = quotient(uint64_t(1) << 52, -52, enlarged.mantissa);
    const Double scale{inverse.mantissa, inverse.exponent - enlarged.exponent};
    const int64_t last = (source - 1) * 256;
    for (int64_t i = 0; i < target; ++i) {
      from[size_t(i)] = uint32_t(std::min(std::max<int64_t>(place(scale, i), 0), last));
    }
  }

  // (i + 1/2) * scale - 1/2 in 1/256, ties to even; anything negative as -1. The subtraction of doubles is exact.
  static int64_t place(Double scale, int64_t i) {
    const Double product = rounded(Wide(scale.mantissa) * uint64_t(2 * i + 1), scale.exponent - 1, false);
    const int shift = -product.exponent;  // the product is below 2^18, so this is at least 35
    if (shift > kMantissa + 1) return -1;
    const int64_t value = int64_t(product.mantissa) - (int64_t(1) << (shift - 1));
    if (value < 0) return -1;
    const int drop = shift - 8;
    const int64_t whole = value >> drop, rest = value & ((int64_t(1) << drop) - 1), half = int64_t(1) << (drop - 1);
    return whole + (rest > half || (rest == half && (whole & 1)));
  }

  std::vector<uint32_t> from;
};

// A row between two rows of an image, 8 fractional bits.
struct Mix {
  Mix(const Image& image, const Axis& down, int64_t y)
      : upper(image.row(down.from[size_t(y)] >> 8)),
        lower(image.row(std::min<int64_t>((down.from[size_t(y)] >> 8) + 1, image.height - 1))),
        below(uint16_t(down.from[size_t(y)] & 255)),
        above(uint16_t(256 - below)) {}

  uint16_t at(int64_t x) const { return uint16_t(upper[x] * above + lower[x] * below); }

  const uint8_t *upper, *lower;
  uint16_t below, above;
};

// Both sides to the half: the mean of 2 x 2, rounding half up. What the general way gives, faster.
Image halved(const Image& image) {
  Image result(image.height / 2, image.width / 2);
  for (int64_t y = 0; y < result.height; ++y) {
    const uint8_t* upper = image.row(2 * y);
    const uint8_t* lower = image.row(2 * y + 1);
    uint8_t* out = result.row(y);
    for (int64_t x = 0; x < result.width; ++x) {
      out[x] = uint8_t((upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1] + 2) >> 2);
    }
  }
  return result;
}

}  // namespace

// OpenCV goes along rows first. Nothing is rounded in between, so the order does not matter, and down the columns
// first is faster: that loop is free of gathers and a line mostly shrinks. Two rows share a word from there on, one in
// each half: sums stay below 2^24.
Image resize(const Image& image, int64_t width, int64_t height) {
  if (image.width == 2 * width && image.height == 2 * height) return halved(image);
  const Axis across(image.width, width), down(image.height, height);
  Image result(height, width);
  std::vector<uint64_t> words(size_t(image.width) + 1);
  uint64_t* line = words.data();
  const uint32_t* positions = across.from.data();
  constexpr uint64_t kHalf = (uint64_t(32768) << 32) | 32768;
  for (int64_t y = 0; y < height; y += 2) {
    const int64_t next = std::min(y + 1, height - 1);  // an odd last row goes twice
    const Mix first(image, down, y), second(image, down, next);
    for (int64_t x = 0; x < image.width; ++x) line[x] = first.at(x) | uint64_t(second.at(x)) << 32;
    line[image.width] = line[image.width - 1];
    uint8_t* out = result.row(y);
    uint8_t* below = result.row(next);
    for (int64_t x = 0; x < width; ++x) {
      const uint32_t position = positions[x];
      const uint64_t* from = line + (position >> 8);
      const uint64_t sums = (from[0] << 8) + (from[1] - from[0]) * (position & 255) + kHalf;
      out[x] = uint8_t(sums >> 16);
      below[x] = uint8_t(sums >> 48);
    }
  }
  return result;
}

}  // namespace zeile

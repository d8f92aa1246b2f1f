// SPDX-License-Identifier: Apache-2.0
#include "contrast.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace zeile {
namespace {

constexpr int64_t kMinContrast = 24, kFull = 255;

// Four tables, so that a run of equal pixels does not wait for its own sums.
std::array<int64_t, 256> histogram(const uint8_t* grey, int64_t size) {
  uint32_t counts[4][256] = {};
  int64_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, grey + i, 8);
    for (int k = 0; k < 8; ++k) ++counts[k & 3][(eight >> (8 * k)) & 255];
  }
  for (; i < size; ++i) ++counts[0][grey[i]];
  std::array<int64_t, 256> sums;
  for (int v = 0; v < 256; ++v) sums[v] = int64_t(counts[0][v]) + counts[1][v] + counts[2][v] + counts[3][v];
  return sums;
}

// cv2.calcHist counts in float32: 24 bits, ties to even.
int64_t as_float32(int64_t count) {
  int drop = 0;
  while ((count >> drop) >> 24) ++drop;
  if (drop == 0) return count;
  const int64_t kept = count >> drop, rest = count & ((int64_t(1) << drop) - 1), half = int64_t(1) << (drop - 1);
  return (kept + (rest > half || (rest == half && (kept & 1)))) << drop;
}

}  // namespace

std::optional<Contrast> find_contrast(const uint8_t* grey, int64_t size) {
  std::array<int64_t, 256> below = histogram(grey, size);
  int64_t total = 0;
  for (int64_t& count : below) count = total += as_float32(count);
  const auto quantile = [&](int64_t per_mille) {
    return int64_t(std::lower_bound(below.begin(), below.end(), (total * per_mille + 999) / 1000) - below.begin());
  };
  int64_t dark = quantile(10), bright = quantile(990);
  if (bright - dark < kMinContrast) {
    dark = quantile(1), bright = quantile(999);
    if (bright - dark < kMinContrast) return std::nullopt;
  }
  if (2 * quantile(500) >= dark + bright) {
    const int64_t paper = quantile(800);
    return Contrast{0, uint8_t(paper), uint8_t(std::max(paper - dark, kMinContrast))};
  }
  const int64_t paper = quantile(200);
  return Contrast{255, uint8_t(kFull - paper), uint8_t(std::max(bright - paper, kMinContrast))};
}

// Division by an invariant 16-bit number with one multiplication, exact for every dividend.
// Source: Granlund and Montgomery, "Division by invariant integers using multiplication", PLDI 1994, figure 4.1.
void apply(Contrast contrast, const uint8_t* grey, uint8_t* ink, int64_t size) {
  const uint32_t divisor = contrast.contrast;
  int length = 0;
  while ((1u << length) < divisor) ++length;
  const uint16_t factor = uint16_t(65536u * ((1u << length) - divisor) / divisor + 1);
  const int shift = length - 1;
  for (int64_t i = 0; i < size; ++i) {
    const uint8_t pixel = grey[i] ^ contrast.flip;
    const uint8_t deeper = pixel < contrast.paper ? uint8_t(contrast.paper - pixel) : uint8_t(0);
    const uint16_t dividend = uint16_t(std::min(deeper, contrast.contrast) * 255);
    const uint16_t high = uint16_t((uint32_t(dividend) * factor) >> 16);
    const uint16_t sum = uint16_t(high + uint16_t(uint16_t(dividend - high) >> 1));
    ink[i] = uint8_t(sum >> shift);
  }
}

}  // namespace zeile

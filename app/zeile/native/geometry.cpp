// SPDX-License-Identifier: Apache-2.0
#include "geometry.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "centre.hpp"
#include "contrast.hpp"

namespace zeile {
namespace {

constexpr int64_t kMinWidth = 4;

using Band = std::pair<int64_t, int64_t>;  // rows [first, second)

struct Crop {
  Image ink;
  int64_t left, right;
};

Crop crop(Image ink) {
  const int64_t h = ink.height, w = ink.width;
  std::vector<uint8_t> most(size_t(w), 0);
  int64_t top = h, bottom = 0;
  for (int64_t y = 0; y < h; ++y) {
    const uint8_t* row = ink.row(y);
    uint8_t any = 0;
    for (int64_t x = 0; x < w; ++x) {
      most[size_t(x)] = most[size_t(x)] | row[x];
      any |= row[x];
    }
    if (any > 127) top = std::min(top, y), bottom = y + 1;
  }
  if (bottom == 0) return {std::move(ink), 0, w};
  int64_t left = 0, right = w;
  while (most[size_t(left)] <= 127) ++left;
  while (most[size_t(right - 1)] <= 127) --right;
  const int64_t rim = std::max<int64_t>(1, (bottom - top) / 8);
  left = std::max<int64_t>(0, left - rim), right = std::min(w, right + rim);
  top = std::max<int64_t>(0, top - 1), bottom = std::min(h, bottom + 1);
  Image part(bottom - top, right - left);
  for (int64_t y = top; y < bottom; ++y) std::memcpy(part.row(y - top), ink.row(y) + left, size_t(right - left));
  return {std::move(part), left, right};
}

Image soften(const Image& ink) {
  const int64_t h = ink.height, w = ink.width;
  Image result(h, w);
  const std::vector<uint8_t> paper(size_t(w), 0);
  std::vector<uint16_t> sums(size_t(w) + 2, 0);
  uint16_t* sum = sums.data() + 1;
  for (int64_t y = 0; y < h; ++y) {
    const uint8_t* upper = y > 0 ? ink.row(y - 1) : paper.data();
    const uint8_t* middle = ink.row(y);
    const uint8_t* lower = y + 1 < h ? ink.row(y + 1) : paper.data();
    uint8_t* out = result.row(y);
    for (int64_t x = 0; x < w; ++x) sum[x] = uint16_t(upper[x] + 2 * middle[x] + lower[x]);
    for (int64_t x = 0; x < w; ++x) out[x] = uint8_t(uint16_t(sum[x - 1] + 2 * sum[x] + sum[x + 1] + 8) >> 4);
  }
  return result;
}

// Neighbouring columns mostly begin at the same row: such runs are cut row by row.
Image straighten(const Image& scaled, const Longs& top, int64_t height_px) {
  const int64_t h = scaled.height, width = scaled.width;
  Image line(height_px, width);
  const std::vector<uint8_t> paper(size_t(width), 0);
  std::vector<uint16_t> parts(size_t(width), 0);
  Longs first(size_t(width), 0);
  for (size_t x = 0; x < size_t(width); ++x) {
    first[x] = std::min(std::max(top[x] >> 4, -(height_px + 1)), h);
    parts[x] = uint16_t(top[x] & 15);
  }
  const auto row = [&](int64_t y) { return y >= 0 && y < h ? scaled.row(y) : paper.data(); };
  for (int64_t begin = 0, end; begin < width; begin = end) {
    const int64_t low = first[size_t(begin)];
    for (end = begin + 1; end < width && first[size_t(end)] == low;) ++end;
    for (int64_t y = 0; y < height_px; ++y) {
      const uint8_t* upper = row(low + y);
      const uint8_t* lower = row(low + y + 1);
      uint8_t* out = line.row(y);
      const uint16_t* part = parts.data();
      for (int64_t x = begin; x < end; ++x) {
        out[x] = uint8_t(uint16_t(upper[x] * (kSub - part[x]) + lower[x] * part[x] + kSub / 2) >> 4);
      }
    }
  }
  return line;
}

Image scale(const Image& ink, const Centre& at, int64_t height_px, int64_t stretch_percent) {
  const int64_t h = ink.height, w = ink.width, radius = at.radius;
  const int64_t width = std::max(kMinWidth, (w * height_px * kSub * stretch_percent + 100 * radius) / (200 * radius));
  const int64_t tall = std::max<int64_t>(1, (h * height_px * kSub + radius) / (2 * radius));
  const Image scaled = tall * 5 >= h * 4 ? resize(ink, width, tall) : resize(soften(ink), width, tall);
  Longs top(size_t(width), 0);
  for (int64_t x = 0; x < width; ++x) {
    const int64_t middle = at.curve[size_t((2 * x + 1) * w / (2 * width))];
    top[size_t(x)] = floor_div((2 * middle + kSub) * tall, 2 * h) - height_px * kSub / 2;
  }
  return straighten(scaled, top, height_px);
}

Longs row_masses(const Image& line) {
  Longs mass(size_t(line.height), 0);
  for (int64_t y = 0; y < line.height; ++y) {
    const uint8_t* row = line.row(y);
    constexpr int64_t kBlock = 1 << 16;  // sums of this many fit 32 bits
    for (int64_t begin = 0; begin < line.width; begin += kBlock) {
      uint32_t sum = 0;
      for (int64_t x = begin; x < std::min(begin + kBlock, line.width); ++x) sum += row[x] > kStrong ? row[x] : 0;
      mass[size_t(y)] += sum;
    }
  }
  return mass;
}

std::vector<Band> written_bands(const Longs& mass) {
  const auto [low, high] = std::minmax_element(mass.begin(), mass.end());
  const int64_t limit = *low + (*high - *low) / 12, height = int64_t(mass.size());
  std::vector<Band> bands;
  for (int64_t y = 0; y < height; ++y) {
    if (mass[size_t(y)] <= limit) continue;
    if (bands.empty() || bands.back().second != y) bands.emplace_back(y, y);
    bands.back().second = y + 1;
  }
  return bands;
}

size_t main_band(const std::vector<Band>& bands, const Longs& mass) {
  const int64_t height = int64_t(mass.size());
  size_t main = 0;
  int64_t most = -1;
  for (size_t i = 0; i < bands.size(); ++i) {
    int64_t central = 0;
    for (int64_t y = bands[i].first; y < bands[i].second; ++y) {
      central += mass[size_t(y)] * (height - std::abs(2 * y + 1 - height));
    }
    if (central > most) most = central, main = i;
  }
  return main;
}

std::optional<Band> own_band(const Image& line, const Longs& mass) {
  const std::vector<Band> bands = written_bands(mass);
  if (bands.size() < 2) return std::nullopt;
  const size_t main = main_band(bands, mass);
  const int64_t wanted = (bands[main].second - bands[main].first) * (line.width >= 4 * line.height ? 1 : 2);
  size_t first = main, last = main;
  while (first > 0 && (bands[first].first - bands[first - 1].second) * 8 < wanted) --first;
  while (last + 1 < bands.size() && (bands[last + 1].first - bands[last].second) * 8 < wanted) ++last;
  int64_t top = 0, bottom = line.height;
  if (first > 0) {
    const auto begin = mass.begin() + bands[first - 1].second;
    top = std::min_element(begin, mass.begin() + bands[first].first) - mass.begin();
  }
  if (last + 1 < bands.size()) {
    const auto begin = mass.rend() - bands[last + 1].first;  // from below
    bottom = mass.rend() - std::min_element(begin, mass.rend() - bands[last].second);
  }
  if (top == 0 && bottom == line.height) return std::nullopt;
  return Band{top, bottom};
}

struct Measure {
  int64_t shift, extent;  // 1/kSub px
};

Measure measure(const Longs& mass, Band band) {
  int64_t total = 0, moment = 0, strayed = 0;
  const auto place = [](int64_t y) { return (2 * y + 1) * kSub / 2; };
  for (int64_t y = band.first; y < band.second; ++y) {
    total += mass[size_t(y)];
    moment += place(y) * mass[size_t(y)];
  }
  const int64_t middle = moment / total;
  for (int64_t y = band.first; y < band.second; ++y) strayed += std::abs(place(y) - middle) * mass[size_t(y)];
  return {middle - int64_t(mass.size()) * kSub / 2, kSub + kExtent * (strayed / total)};
}

}  // namespace

NormalisedLine normalise(const uint8_t* grey, int64_t height, int64_t width, int64_t height_px,
                         int64_t stretch_percent) {
  const std::optional<Contrast> contrast = find_contrast(grey, height * width);
  if (!contrast) return {Image(height_px, 0), 0, width};
  Image whole(height, width);
  apply(*contrast, grey, whole.pixels.get(), height * width);
  Crop cropped = crop(std::move(whole));
  Image& ink = cropped.ink;
  while (ink.height > 4 * height_px && ink.width > 1) ink = resize(ink, ink.width / 2, ink.height / 2);
  Centre at = centre(ink);
  Image line = scale(ink, at, height_px, stretch_percent);
  Longs mass = row_masses(line);
  if (const std::optional<Band> band = own_band(line, mass)) {
    const Measure own = measure(mass, *band);
    const int64_t shift = floor_div(own.shift * 2 * at.radius, height_px * kSub);
    for (int64_t& middle : at.curve) middle += shift;
    at.radius = std::max(3 * kSub, 2 * own.extent * at.radius / (height_px * kSub));
    line = scale(ink, at, height_px, stretch_percent);
    const Band rows = own_band(line, row_masses(line)).value_or(Band{0, height_px});
    std::fill_n(line.pixels.get(), rows.first * line.width, uint8_t(0));
    std::fill(line.row(rows.second), line.pixels.get() + height_px * line.width, uint8_t(0));
  }
  return {std::move(line), cropped.left, cropped.right};
}

}  // namespace zeile

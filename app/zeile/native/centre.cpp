// SPDX-License-Identifier: Apache-2.0
#include "centre.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace zeile {
namespace {

constexpr int64_t kFar = 14;  // quarters of the median distance beyond which ink is no part of the line

// Sums over `size` (odd) neighbours, twice, modulo 2^32 as OpenCV's int32 sums; beyond the ends lies 0 or a copy.
void box(uint32_t* values, int64_t count, int64_t size, bool copies) {
  const int64_t half = size / 2;
  std::vector<uint32_t> padded(size_t(count + size), 0);
  for (int pass = 0; pass < 2; ++pass) {
    std::copy_n(values, count, padded.begin() + half);
    if (copies) {
      std::fill_n(padded.begin(), half, values[0]);
      std::fill_n(padded.begin() + half + count, half, values[count - 1]);
    }
    uint32_t sum = 0;
    for (int64_t i = 0; i < size; ++i) sum += padded[size_t(i)];
    for (int64_t i = 0; i < count; ++i) {
      values[i] = sum;
      sum += padded[size_t(i + size)] - padded[size_t(i)];
    }
  }
}

// weight += bell * along, down the column of windows; the bell is below 2^32 but for images of at most 3 columns.
void add_weighted(uint64_t* sums, uint64_t bell, const uint32_t* values, int64_t count) {
  const uint32_t low = uint32_t(bell);
  if (bell >> 32) {
    for (int64_t i = 0; i < count; ++i) sums[i] += bell * values[i];
  } else {  // processors multiply 32 bits faster
    for (int64_t i = 0; i < count; ++i) sums[i] += uint64_t(low) * values[i];
  }
}

// Sums of ink through a bell around each row, modulo 2^64 as NumPy's.
class Window {
 public:
  Window(const std::vector<uint32_t>& along, int64_t height, int64_t width)
      : along_(along), height_(height), width_(width), totals_(size_t(height), 0) {
    for (auto& row : rows_) row.resize(size_t(width));
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < width; ++x) totals_[size_t(y)] += along[size_t(y * width + x)];
    }
  }

  // The sums around row y, one for each column; rows are asked for in order.
  const std::vector<uint64_t>& row(int64_t y) {
    std::vector<uint64_t>& sums = rows_[size_t(y % 5)];
    if (y < 5) {
      for (int64_t other = 0; other < height_; ++other) {
        add_weighted(sums.data(), bell(y - other), along_.data() + other * width_, width_);
      }
      return sums;
    }
    // The bell reaches beyond every row, so in y each sum is a polynomial of degree 4: its fifth difference is 0.
    const uint64_t *a = at(y - 1), *b = at(y - 2), *c = at(y - 3), *d = at(y - 4);
    for (size_t x = 0; x < sums.size(); ++x) {
      const uint64_t outer = a[x] - d[x], inner = c[x] - b[x];
      sums[x] += (outer << 2) + outer + (inner << 3) + (inner << 1);
    }
    return sums;
  }

  // What the whole line adds at row y.
  uint64_t base(int64_t y) const {
    uint64_t sum = 0;
    for (int64_t other = 0; other < height_; ++other) sum += bell(y - other) * totals_[size_t(other)];
    return uint64_t(floor_div(int64_t(sum), 64 * width_));
  }

 private:
  uint64_t bell(int64_t distance) const {
    const int64_t reach = 4 * height_ / 3 + 1;
    const uint64_t root = uint64_t(reach * reach - distance * distance);
    return root * root;
  }
  const uint64_t* at(int64_t y) const { return rows_[size_t(y % 5)].data(); }

  const std::vector<uint32_t>& along_;
  int64_t height_, width_;
  std::vector<uint64_t> totals_;
  std::array<std::vector<uint64_t>, 5> rows_;
};

// The row of most ink around each column, seen through a window.
std::vector<uint32_t> best_rows(const Image& small) {
  const int64_t h = small.height, w = small.width, spread = std::min<int64_t>(2 * (5 * h / 4) + 1, 63);
  std::vector<uint32_t> along(small.pixels.get(), small.pixels.get() + h * w), best(size_t(w), 0);
  for (int64_t y = 0; y < h; ++y) box(along.data() + y * w, w, spread, false);
  Window window(along, h, w);
  Longs most(size_t(w), INT64_MIN);
  for (int64_t y = 0; y < h; ++y) {
    const uint64_t base = window.base(y);
    const uint64_t* sums = window.row(y).data();
    for (size_t x = 0; x < size_t(w); ++x) {
      const int64_t value = int64_t(sums[x] + base);
      const bool more = value > most[x];
      most[x] = more ? value : most[x];
      best[x] = more ? uint32_t(y) : best[x];
    }
  }
  return best;
}

int64_t spread(const Image& small, const Longs& curve) {
  const auto [low, high] = std::minmax_element(curve.begin(), curve.end());
  const int64_t end = (small.height - 1) * kSub;
  Longs mass(size_t(std::max(std::max(*high, -*low), std::max(end - *low, *high - end))) + 1, 0);
  int64_t total = 0;
  for (int64_t y = 0; y < small.height; ++y) {
    const uint8_t* row = small.row(y);
    for (int64_t x = 0; x < small.width; ++x) {
      if (row[x] <= kStrong) continue;
      mass[size_t(std::abs(y * kSub - curve[size_t(x)]))] += row[x];
      total += row[x];
    }
  }
  if (total == 0) return small.height * kSub / 4;
  int64_t median = 0;
  for (int64_t below = mass[0]; below < (total + 1) / 2; below += mass[size_t(median)]) ++median;
  int64_t near = 0, moment = 0;
  for (int64_t d = 0; d < std::min(int64_t(mass.size()), median * kFar / 4 + 1); ++d) {
    near += mass[size_t(d)];
    moment += mass[size_t(d)] * d;
  }
  return moment / near;
}

}  // namespace

Centre centre(const Image& ink) {
  int64_t step = 1;
  Image reduced(0, 0);
  const Image* at = &ink;
  for (; at->height > 16 && at->width > 3; step *= 2) {
    reduced = resize(*at, at->width / 2, at->height / 2);
    at = &reduced;
  }
  const Image& small = *at;
  const int64_t w = ink.width, sw = small.width, smooth = 2 * (small.height / 3) + 1;
  std::vector<uint32_t> best = best_rows(small);
  for (uint32_t& row : best) row *= uint32_t(kSub);
  box(best.data(), sw, smooth, true);
  Longs curve(best.size());
  for (size_t x = 0; x < best.size(); ++x) curve[x] = floor_div(int32_t(best[x]), smooth * smooth);
  Centre result{Longs(size_t(w)), std::max(3 * kSub, kSub + kExtent * spread(small, curve) * step)};
  for (int64_t x = 0; x < w; ++x) {
    const int64_t position = std::min(std::max<int64_t>((2 * x + 1) * sw * 8 / w - 8, 0), 16 * (sw - 1));
    const int64_t left = position >> 4, part = position & 15, right = std::min(left + 1, sw - 1);
    const int64_t fine = (curve[size_t(left)] * (16 - part) + curve[size_t(right)] * part + 8) >> 4;
    result.curve[size_t(x)] = fine * step + (step - 1) * kSub / 2;
  }
  return result;
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
#include "geometry.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace zeile {
namespace {

constexpr int64_t kMinContrast = 24, kMinWidth = 4, kFull = 255, kExtent = 4, kStrong = 76, kFar = 14, kSub = 16;

using Longs = std::vector<int64_t>;
using Band = std::pair<int64_t, int64_t>;  // rows [first, second)

// Python's //; the divisor is positive.
int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

// ---------------------------------------------------------------------------------------------------- contrast

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

// ink = (paper - pixel) * 255 / contrast within 0 ... 255; pixels of light writing are inverted by `flip` first.
struct Contrast {
  uint8_t flip, paper, contrast;
};

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

// ---------------------------------------------------------------------------------------------------- crop, blur

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

// ---------------------------------------------------------------------------------------------------- centre

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
    for (int64_t i = 0; i < height * width; ++i) totals_[size_t(i / width)] += along[size_t(i)];
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

struct Centre {
  Longs curve;     // of each column, 1/kSub px
  int64_t radius;  // half the line's extent, 1/kSub px
};

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

// ---------------------------------------------------------------------------------------------------- cut

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

Image scale(const Image& ink, const Centre& at, int64_t height_px) {
  const int64_t h = ink.height, w = ink.width, radius = at.radius;
  const int64_t width = std::max(kMinWidth, (w * height_px * kSub + radius) / (2 * radius));
  const int64_t tall = std::max<int64_t>(1, (h * height_px * kSub + radius) / (2 * radius));
  const Image scaled = tall * 5 >= h * 4 ? resize(ink, width, tall) : resize(soften(ink), width, tall);
  Longs top(size_t(width), 0);
  for (int64_t x = 0; x < width; ++x) {
    const int64_t middle = at.curve[size_t((2 * x + 1) * w / (2 * width))];
    top[size_t(x)] = floor_div((2 * middle + kSub) * tall, 2 * h) - height_px * kSub / 2;
  }
  return straighten(scaled, top, height_px);
}

// ---------------------------------------------------------------------------------------------------- neighbours

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

NormalisedLine normalise(const uint8_t* grey, int64_t height, int64_t width, int64_t height_px) {
  const std::optional<Contrast> contrast = find_contrast(grey, height * width);
  if (!contrast) return {Image(height_px, 0), 0, width};
  Image whole(height, width);
  apply(*contrast, grey, whole.pixels.get(), height * width);
  Crop cropped = crop(std::move(whole));
  Image& ink = cropped.ink;
  while (ink.height > 4 * height_px && ink.width > 1) ink = resize(ink, ink.width / 2, ink.height / 2);
  Centre at = centre(ink);
  Image line = scale(ink, at, height_px);
  Longs mass = row_masses(line);
  if (const std::optional<Band> band = own_band(line, mass)) {
    const Measure own = measure(mass, *band);
    const int64_t shift = floor_div(own.shift * 2 * at.radius, height_px * kSub);
    for (int64_t& middle : at.curve) middle += shift;
    at.radius = std::max(3 * kSub, 2 * own.extent * at.radius / (height_px * kSub));
    line = scale(ink, at, height_px);
    const Band rows = own_band(line, row_masses(line)).value_or(Band{0, height_px});
    std::fill_n(line.pixels.get(), rows.first * line.width, uint8_t(0));
    std::fill(line.row(rows.second), line.pixels.get() + height_px * line.width, uint8_t(0));
  }
  return {std::move(line), cropped.left, cropped.right};
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// The Python face of line geometry.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "geometry.hpp"

namespace nb = nanobind;

namespace zeile {
namespace {

using Grey = nb::ndarray<const uint8_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Pixels = nb::ndarray<nb::numpy, uint8_t, nb::ndim<2>>;

void check(const Grey& grey, int64_t first, int64_t second) {
  if (grey.size() == 0) throw std::invalid_argument("the image has no pixels");
  if (first < 1 || second < 1) throw std::invalid_argument("a wanted height or width is below 1");
}

Pixels array(Image image) {
  uint8_t* data = image.pixels.release();
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
  return Pixels(data, {size_t(image.height), size_t(image.width)}, owner);
}

std::tuple<Pixels, int64_t, int64_t> normalised(const Grey& grey, int64_t height_px, int64_t stretch_percent) {
  check(grey, height_px, stretch_percent);
  NormalisedLine line = [&] {
    nb::gil_scoped_release released;
    return normalise(grey.data(), int64_t(grey.shape(0)), int64_t(grey.shape(1)), height_px, stretch_percent);
  }();
  return {array(std::move(line.pixels)), line.left, line.right};
}

Pixels resized(const Grey& grey, int64_t width, int64_t height) {
  check(grey, width, height);
  Image result = [&] {
    nb::gil_scoped_release released;
    Image image(int64_t(grey.shape(0)), int64_t(grey.shape(1)));
    std::copy_n(grey.data(), grey.size(), image.pixels.get());
    return resize(image, width, height);
  }();
  return array(std::move(result));
}

}  // namespace

void BindGeometry(nb::module_& m) {
  m.def("normalise", &normalised, nb::arg().noconvert(), nb::arg(), nb::arg());
  m.def("resize", &resized, nb::arg().noconvert(), nb::arg(), nb::arg());
}

}  // namespace zeile

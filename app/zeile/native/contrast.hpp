// SPDX-License-Identifier: Apache-2.0
// Paper and ink of a grey image, and the grey levels in between.
#pragma once

#include <cstdint>
#include <optional>

namespace zeile {

// ink = (paper - pixel) * 255 / contrast within 0 ... 255; pixels of light writing are inverted by `flip` first.
struct Contrast {
  uint8_t flip, paper, contrast;
};

// Nothing if the image is blank. grey: size pixels, at least 1.
std::optional<Contrast> find_contrast(const uint8_t* grey, int64_t size);

// ink: size pixels, paper 0 and ink 255.
void apply(Contrast contrast, const uint8_t* grey, uint8_t* ink, int64_t size);

}  // namespace zeile

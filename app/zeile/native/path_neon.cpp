// SPDX-License-Identifier: Apache-2.0
#include "path.hpp"
#include "paths.hpp"
#include "simd_neon.hpp"

namespace zeile {

Kernels neon_kernels() { return kernels_of<Neon>("neon"); }

}  // namespace zeile

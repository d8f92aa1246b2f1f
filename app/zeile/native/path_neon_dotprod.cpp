// SPDX-License-Identifier: Apache-2.0
#include "path.hpp"
#include "paths.hpp"
#include "simd_neon.hpp"

namespace zeile {

Kernels neon_dotprod_kernels() { return kernels_of<NeonDotprod>("neon_dotprod"); }

}  // namespace zeile

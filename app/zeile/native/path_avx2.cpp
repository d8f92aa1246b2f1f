// SPDX-License-Identifier: Apache-2.0
#include "path.hpp"
#include "paths.hpp"
#include "simd_avx2.hpp"

namespace zeile {

Kernels avx2_kernels() { return kernels_of<Avx2>("avx2"); }

}  // namespace zeile

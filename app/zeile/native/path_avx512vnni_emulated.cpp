// SPDX-License-Identifier: Apache-2.0
#include "path.hpp"
#include "paths.hpp"
#include "simd_avx512.hpp"

namespace zeile {

Kernels avx512vnni_emulated_kernels() { return kernels_of<Avx512Vnni>("avx512vnni_emulated"); }

}  // namespace zeile

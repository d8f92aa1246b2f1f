// SPDX-License-Identifier: Apache-2.0
#include "path.hpp"
#include "paths.hpp"
#include "simd_portable.hpp"

namespace zeile {

Kernels portable_kernels() { return kernels_of<Portable>("portable"); }

}  // namespace zeile

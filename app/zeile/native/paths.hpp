// SPDX-License-Identifier: Apache-2.0
// The paths built into this library, and which of them this CPU can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace zeile {

Kernels avx512vnni_kernels();
Kernels avx512vnni_emulated_kernels();
Kernels avx2_kernels();
Kernels neon_dotprod_kernels();
Kernels neon_kernels();
Kernels portable_kernels();

// Best first; `portable` is always the last but for emulated ones.
std::vector<Kernels> runnable_paths();

// The path of this name, the best one for an empty name. Throws std::invalid_argument if there is none.
Kernels path_named(const std::string& name);

// Multiply-accumulates a second from registers, the best of several short runs.
double peak_macs(const Kernels& kernels);

}  // namespace zeile

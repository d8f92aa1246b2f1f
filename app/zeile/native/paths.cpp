// SPDX-License-Identifier: Apache-2.0
#include "paths.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace zeile {
namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2"); }

bool has_avx512vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

#if defined(__aarch64__)
bool has_dotprod() {
#if defined(__linux__)
  constexpr unsigned long kAsimdDp = 1UL << 20;
  return (getauxval(AT_HWCAP) & kAsimdDp) != 0;
#else
  return true;  // every 64-bit Apple processor since 2019
#endif
}
#endif

}  // namespace

std::vector<Kernels> runnable_paths() {
  std::vector<Kernels> paths;
#if defined(__x86_64__)
  if (has_avx512vnni()) paths.push_back(avx512vnni_kernels());
  if (has_avx2()) paths.push_back(avx2_kernels());
#endif
#if defined(__aarch64__)
  if (has_dotprod()) paths.push_back(neon_dotprod_kernels());
  paths.push_back(neon_kernels());
#endif
  paths.push_back(portable_kernels());
#if defined(ZEILE_SIMDE)
  if (has_avx2()) paths.push_back(avx512vnni_emulated_kernels());
#endif
  return paths;
}

Kernels path_named(const std::string& name) {
  const std::vector<Kernels> paths = runnable_paths();
  std::string known;
  for (const Kernels& path : paths) {
    if (name.empty() || name == path.name) return path;
    known += (known.empty() ? "" : ", ") + std::string(path.name);
  }
  throw std::invalid_argument("path '" + name + "' cannot run on this CPU; those that can are " + known);
}

double peak_macs(const Kernels& kernels) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  long rounds = 1000;
  for (int run = 0; run < 12; ++run) {
    const auto begin = Clock::now();
    const double macs = kernels.spin(rounds);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    best = std::max(best, macs / seconds);
    if (seconds < 0.01) rounds *= 4;
  }
  return best;
}

}  // namespace zeile

// SPDX-License-Identifier: Apache-2.0
// What ap_int.h is made of: storage of a value, and the widths of results, which are the vendor's.
#pragma once
#include <cstdint>
#include <type_traits>

template <int W, bool S>
struct ap_int_base;
template <int W>
using ap_int = ap_int_base<W, true>;
template <int W>
using ap_uint = ap_int_base<W, false>;

namespace ap_sim {

constexpr int Max(int a, int b) { return a > b ? a : b; }
constexpr int Min(int a, int b) { return a < b ? a : b; }

// C integer types, for storage and for conversions.
template <int W, bool S>
struct Native {
  static_assert(1 <= W && W <= 128, "an ap_int has 1 to 128 bits here");
  template <class Signed, class Unsigned>
  using Of = typename std::conditional<S, Signed, Unsigned>::type;
  // clang-format off
  using type = typename std::conditional<(W <= 8), Of<int8_t, uint8_t>,
      typename std::conditional<(W <= 16), Of<int16_t, uint16_t>,
      typename std::conditional<(W <= 32), Of<int32_t, uint32_t>,
      typename std::conditional<(W <= 64), Of<long long, unsigned long long>,
      Of<__int128, unsigned __int128>>::type>::type>::type>::type;
  // clang-format on
};

#if defined(__clang__) && __clang_major__ >= 15 && !defined(ZEILE_AP_NATIVE)
#define ZEILE_AP_BITINT 1
template <int W, bool S>
struct Storage {
  using T = signed _BitInt(W);
  static T Wrap(T x) { return x; }
};
template <int W>
struct Storage<W, false> {
  using T = unsigned _BitInt(W);
  static T Wrap(T x) { return x; }
};
template <>
struct Storage<1, true> {  // a signed _BitInt has two bits at least
  using T = int8_t;
  static T Wrap(T x) { return (x & 1) ? -1 : 0; }
};
#else
template <int W, bool S>
struct Storage {
  using T = typename Native<W, S>::type;
  using Unsigned = typename Native<W, false>::type;
  static constexpr int kUnused = 8 * static_cast<int>(sizeof(T)) - W;
  static T Wrap(T x) {  // sign or zero extension from bit W - 1
    return static_cast<T>(static_cast<T>(static_cast<Unsigned>(static_cast<Unsigned>(x) << kUnused)) >> kUnused);
  }
};
#endif

// Width and sign of a C integer as an operand.
template <class I>
struct Operand {
  static constexpr bool kSigned = std::is_signed<I>::value;
  static constexpr int kWidth = 8 * static_cast<int>(sizeof(I));
};
template <>
struct Operand<bool> {
  static constexpr bool kSigned = false;
  static constexpr int kWidth = 1;
};
template <class I>
using IfInteger = typename std::enable_if<std::is_integral<I>::value, int>::type;

// Result widths of the operators: the vendor's RType.
template <int W1, bool S1, int W2, bool S2>
struct Result {
  static constexpr bool kSigned = S1 || S2;
  static constexpr int kCommon = Max(W1 + (S2 && !S1), W2 + (S1 && !S2));
  using Sum = ap_int_base<kCommon + 1, kSigned>;
  using Difference = ap_int_base<kCommon + 1, true>;
  using Product = ap_int_base<W1 + W2, kSigned>;
  using Quotient = ap_int_base<W1 + S2, kSigned>;
  using Remainder = ap_int_base<Min(W1, W2 + (!S2 && S1)), S1>;
  using Logic = ap_int_base<kCommon, kSigned>;
};

}  // namespace ap_sim

// SPDX-License-Identifier: Apache-2.0
// ap_int and ap_uint for fast C simulation, for builds without the vendor's headers: same widths, same signs, same
// values (tests/hw/test_ap_int.py compares the two on random operands). On clang a value is a _BitInt, elsewhere the
// smallest C integer that holds it. Widths up to 64 bits; results of operators may grow to 128.
// Not in units: shift counts below 0; |=, &=, ^= on other widths; division, or 32-bit comparison, of a negative and an
// unsigned operand. The vendor's headers warn there, or go by C's rules. No ap_fixed, no concatenation, no strings.
#pragma once
#include "ap_int_types.h"

namespace ap_sim {

// A run of bits of a variable, or one bit, to be read or assigned.
template <int W, bool S>
struct RangeRef {
  ap_int_base<W, S>& value;
  int high, low;

  ap_uint<W> get() const { return value.Extract(high, low); }
  operator typename Native<W, false>::type() const { return get(); }
  int to_int() const { return get().to_int(); }
  unsigned to_uint() const { return get().to_uint(); }
  unsigned long long to_uint64() const { return get().to_uint64(); }
  template <class X>
  RangeRef& operator=(const X& x) {
    value.Insert(high, low, ap_uint<W>(x));
    return *this;
  }
  RangeRef& operator=(const RangeRef& other) { return *this = other.get(); }
};

}  // namespace ap_sim

template <int W, bool S>
struct ap_int_base {
  using Storage = ap_sim::Storage<W, S>;
  using T = typename Storage::T;
  using Bits = typename ap_sim::Storage<W, false>::T;
  using C = typename ap_sim::Native<W, S>::type;
  static constexpr int width = W;
  T v;

  ap_int_base() = default;
  template <class I, ap_sim::IfInteger<I> = 0>
  ap_int_base(I x) : v(Cut(x)) {}
  template <int W2, bool S2, typename std::enable_if<W2 != W || S2 != S, int>::type = 0>
  ap_int_base(const ap_int_base<W2, S2>& x) : v(Cut(x.v)) {}
  template <int W2, bool S2>
  ap_int_base(const ap_sim::RangeRef<W2, S2>& x) : v(Cut(x.get().v)) {}

  // Any integer, _BitInt too, cut to W bits.
  template <class X>
  static ap_int_base From(X x) {
    ap_int_base r;
    r.v = Cut(x);
    return r;
  }

  operator C() const { return static_cast<C>(v); }
  int to_int() const { return static_cast<int>(v); }
  unsigned to_uint() const { return static_cast<unsigned>(v); }
  long long to_int64() const { return static_cast<long long>(v); }
  unsigned long long to_uint64() const { return static_cast<unsigned long long>(v); }
  bool operator!() const { return v == 0; }
  ap_int_base operator~() const { return From(~v); }

  // Shifts keep the width.
  ap_int_base operator>>(int n) const { return n < W ? From(v >> n) : From(S ? v >> (W - 1) : 0); }
  ap_int_base operator<<(int n) const { return n < W ? From(static_cast<Bits>(Unsigned() << n)) : From(0); }
  template <int W2, bool S2>
  ap_int_base operator>>(const ap_int_base<W2, S2>& n) const {
    return *this >> n.to_int();
  }
  template <int W2, bool S2>
  ap_int_base operator<<(const ap_int_base<W2, S2>& n) const {
    return *this << n.to_int();
  }

  template <class X>
  ap_int_base& operator+=(const X& x) {
    return *this = From(static_cast<Bits>(Unsigned() + ap_int_base(x).Unsigned()));
  }
  template <class X>
  ap_int_base& operator-=(const X& x) {
    return *this = From(static_cast<Bits>(Unsigned() - ap_int_base(x).Unsigned()));
  }
  template <class X>
  ap_int_base& operator*=(const X& x) {
    return *this = *this * x;
  }
  template <class X>
  ap_int_base& operator&=(const X& x) {
    return *this = *this & x;
  }
  template <class X>
  ap_int_base& operator|=(const X& x) {
    return *this = *this | x;
  }
  template <class X>
  ap_int_base& operator^=(const X& x) {
    return *this = *this ^ x;
  }
  template <class N>
  ap_int_base& operator<<=(const N& n) {
    return *this = *this << n;
  }
  template <class N>
  ap_int_base& operator>>=(const N& n) {
    return *this = *this >> n;
  }
  ap_int_base& operator++() { return *this += 1; }
  ap_int_base& operator--() { return *this -= 1; }
  ap_int_base operator++(int) {
    ap_int_base before = *this;
    ++*this;
    return before;
  }
  ap_int_base operator--(int) {
    ap_int_base before = *this;
    --*this;
    return before;
  }

  ap_uint<W> range(int high, int low) const { return Extract(high, low); }
  ap_uint<W> operator()(int high, int low) const { return Extract(high, low); }
  bool operator[](int bit) const { return Extract(bit, bit).v != 0; }
  bool test(int bit) const { return Extract(bit, bit).v != 0; }
  ap_sim::RangeRef<W, S> range(int high, int low) { return {*this, high, low}; }
  ap_sim::RangeRef<W, S> operator()(int high, int low) { return {*this, high, low}; }
  ap_sim::RangeRef<W, S> operator[](int bit) { return {*this, bit, bit}; }

  ap_uint<W> Extract(int high, int low) const { return (ap_uint<W>(*this) >> low) & Mask(high - low + 1); }
  void Insert(int high, int low, ap_uint<W> bits) {
    const ap_uint<W> mask = Mask(high - low + 1);
    *this = (ap_uint<W>(*this) & ~(mask << low)) | ((bits & mask) << low);
  }

 private:
  template <class X>
  static T Cut(X x) {
    return Storage::Wrap(static_cast<T>(x));
  }
  Bits Unsigned() const { return static_cast<Bits>(v); }
  static ap_uint<W> Mask(int bits) { return ~(bits >= W ? ap_uint<W>(0) : ~ap_uint<W>(0) << bits); }
};

namespace ap_sim {
template <class I>
using FromInteger = ap_int_base<Operand<I>::kWidth, Operand<I>::kSigned>;
}

// A binary operator on two ap_ints, or on one and a C integer. The operands are first widened to a type in which the
// result is exact, then the result is put into its own.
#define ZEILE_AP_OPERATOR(op, Wide, Type)                                               \
  template <int W1, bool S1, int W2, bool S2>                                           \
  inline auto operator op(const ap_int_base<W1, S1>& a, const ap_int_base<W2, S2>& b) { \
    using Widths = ap_sim::Result<W1, S1, W2, S2>;                                      \
    using T = typename Widths::Wide::T;                                                 \
    return Widths::Type::From(static_cast<T>(a.v) op static_cast<T>(b.v));              \
  }                                                                                     \
  ZEILE_AP_WITH_INTEGER(op)
#define ZEILE_AP_COMPARISON(op)                                                         \
  template <int W1, bool S1, int W2, bool S2>                                           \
  inline bool operator op(const ap_int_base<W1, S1>& a, const ap_int_base<W2, S2>& b) { \
    using T = typename ap_sim::Result<W1, S1, W2, S2>::Logic::T;                        \
    return static_cast<T>(a.v) op static_cast<T>(b.v);                                  \
  }                                                                                     \
  ZEILE_AP_WITH_INTEGER(op)
#define ZEILE_AP_WITH_INTEGER(op)                             \
  template <int W, bool S, class I, ap_sim::IfInteger<I> = 0> \
  inline auto operator op(const ap_int_base<W, S>& a, I b) {  \
    return a op ap_sim::FromInteger<I>(b);                    \
  }                                                           \
  template <int W, bool S, class I, ap_sim::IfInteger<I> = 0> \
  inline auto operator op(I a, const ap_int_base<W, S>& b) {  \
    return ap_sim::FromInteger<I>(a) op b;                    \
  }

ZEILE_AP_OPERATOR(+, Sum, Sum)
ZEILE_AP_OPERATOR(-, Difference, Difference)
ZEILE_AP_OPERATOR(*, Product, Product)
ZEILE_AP_OPERATOR(/, Difference, Quotient)
ZEILE_AP_OPERATOR(%, Difference, Remainder)
ZEILE_AP_OPERATOR(&, Logic, Logic)
ZEILE_AP_OPERATOR(|, Logic, Logic)
ZEILE_AP_OPERATOR(^, Logic, Logic)
ZEILE_AP_COMPARISON(==)
ZEILE_AP_COMPARISON(!=)
ZEILE_AP_COMPARISON(<)
ZEILE_AP_COMPARISON(<=)
ZEILE_AP_COMPARISON(>)
ZEILE_AP_COMPARISON(>=)

template <int W, bool S>
inline auto operator-(const ap_int_base<W, S>& a) {
  return ap_uint<1>(0) - a;
}

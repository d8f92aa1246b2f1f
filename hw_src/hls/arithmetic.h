// SPDX-License-Identifier: Apache-2.0
// The integer functions of hw_src/DATAPATH.md. Branch-free and without memory after inlining, so that each can also be
// translated to LLVM IR and proved against a twin. No function rounds but by half up.
#pragma once

#include "types.h"

namespace zeile {

// R(a * m) = (a * m + 2^14) >> 15. An accumulator has 32 bits: the loader of models proves |a| < 2^31.
inline ap_int<33> Rescale(ap_int<32> accumulator, ap_uint<15> multiplier) {
#pragma HLS INLINE
  const ap_int<47> product = accumulator * multiplier;
  const ap_int<48> rounded = product + ap_int<16>(1 << 14);
  return rounded >> 15;
}

// clamp(v, 0, 2^N - 1)
template <int N, int V>
ap_uint<N> ClampUnsigned(ap_int<V> value) {
#pragma HLS INLINE
  const ap_int<N + 2> top = (1 << N) - 1;
  const ap_int<V> below = value > top ? ap_int<V>(top) : value;
  return below < ap_int<2>(0) ? ap_uint<N>(0) : ap_uint<N>(below);
}

// clamp(v, -2^(N-1), 2^(N-1) - 1)
template <int N, int V>
ap_int<N> ClampSigned(ap_int<V> value) {
#pragma HLS INLINE
  const ap_int<N + 1> top = (1 << (N - 1)) - 1, bottom = -(1 << (N - 1));
  const ap_int<V> below = value > top ? ap_int<V>(top) : value;
  return below < bottom ? ap_int<N>(bottom) : ap_int<N>(below);
}

// One multiply-accumulate in LUTs.
template <int S, int W, int X>
ap_int<S> Accumulate(ap_int<S> sum, ap_int<W> weight, ap_int<X> code) {
#pragma HLS INLINE
  const ap_int<W + X> product = weight * code;
#pragma HLS BIND_OP variable = product op = mul impl = fabric
  return sum + product;
}

// Two multiply-accumulates of one code in one DSP slice: weight1 sits 18 bits above weight0, and a negative lower
// product has borrowed one from the upper.
template <int S, int W, int X>
void AccumulatePair(ap_int<S>& sum0, ap_int<S>& sum1, ap_int<W> weight0, ap_int<W> weight1, ap_int<X> code) {
#pragma HLS INLINE
  static_assert(W + X <= 18, "the lower product must fit the 18 bits below the upper one");
  const ap_int<27> both = ap_int<27>(ap_int<27>(weight1) << 18) + weight0;
  const ap_int<27 + X> product = both * code;
#pragma HLS BIND_OP variable = product op = mul impl = dsp
  const ap_int<18> low = product;
  const ap_int<W + X> high = ap_int<X + 9>(product >> 18) + ap_uint<1>(low < ap_int<2>(0));
  sum0 = sum0 + low;
  sum1 = sum1 + high;
}

// Division by 2^A - 1, half up: (n * kMultiplier + 2^(kShift - 1)) >> kShift.
template <int A>
struct Divisor {
  static_assert(2 <= A && A <= 8, "gates and h have 2 to 8 bits");
  static constexpr int kShift = A == 8 ? 16 : 15;
  static constexpr int kMultiplier = A == 2   ? 10923
                                     : A == 3 ? 4681
                                     : A == 4 ? 2185
                                     : A == 5 ? 1057
                                     : A == 6 ? 520
                                     : A == 7 ? 258
                                              : 257;
};

template <int A, int N>
ap_int<N> Divide(ap_int<N> value) {
#pragma HLS INLINE
  const ap_uint<14> multiplier = Divisor<A>::kMultiplier;
  const ap_int<N + 14> product = value * multiplier;
  const ap_int<N + 15> rounded = product + ap_int<17>(1 << (Divisor<A>::kShift - 1));
  return rounded >> Divisor<A>::kShift;
}

// c = clamp(D_A(f * c + i * g * 2^(C - A - 2))) of C bits
template <int A, int C>
ap_int<C> UpdateCell(ap_uint<A> i, ap_uint<A> f, ap_int<A> g, ap_int<C> cell) {
#pragma HLS INLINE
  static_assert(A + 2 <= C && C <= 12, "the cell has A + 2 to 12 bits");
  const ap_int<A + C> kept = f * cell;
  const ap_int<A + C> added = ap_int<A + C>(i * g) << (C - A - 2);
  const ap_int<A + C + 1> n = kept + added;
  return ClampSigned<C>(Divide<A>(n));
}

// h = D_A(o * tanh_cell[c])
template <int A>
ap_int<A> HiddenOutput(ap_uint<A> o, ap_int<A> tanh_cell) {
#pragma HLS INLINE
  const ap_int<2 * A> n = o * tanh_cell;
  return Divide<A>(n);
}

// n / D of an address, without a divider: exact for all n of 24 bits.
template <int D>
ap_uint<24> Quotient(ap_uint<24> n) {
#pragma HLS INLINE
  static_assert(1 <= D && D <= 1 << 16, "divisors of addresses have at most 16 bits");
  const ap_uint<25> reciprocal = ((1ULL << (24 + Log2(D))) + D - 1) / D;
  const ap_uint<49> product = n * reciprocal;
  return product >> (24 + Log2(D));
}

// c + 1 modulo N
template <int N, int W>
ap_uint<W> Next(ap_uint<W> counter) {
#pragma HLS INLINE
  return counter == N - 1 ? ap_uint<W>(0) : ap_uint<W>(counter + 1);
}

// K values leave at the front of N; what is left moves up. Constant places instead of a wide multiplexer.
template <int K, class T, int N>
void ShiftOut(T (&values)[N]) {
#pragma HLS INLINE
ShiftOut_Values:
  for (int i = 0; i + K < N; ++i) {
#pragma HLS UNROLL
    values[i] = values[i + K];
  }
}

// K values enter behind N - K others.
template <class T, int K, int N>
void ShiftIn(const T (&fresh)[K], T (&values)[N]) {
#pragma HLS INLINE
  ShiftOut<K>(values);
ShiftIn_Values:
  for (int i = 0; i < K; ++i) {
#pragma HLS UNROLL
    values[N - K + i] = fresh[i];
  }
}

// Bits of a signed sum of magnitude at most `bound`. Rounded to 16 or 32, so that the simulation's loops are vectors
// of machine integers; synthesis only carries a sign bit or two more.
constexpr int SumBits(long long bound) { return bound < 32768 ? 16 : 32; }

constexpr int LargestWeight(int bits) { return bits == 1 ? 1 : (1 << (bits - 1)) - 1; }

// Lanes that bring the PE results of a row block out before the next one, SF cycles later, is done.
constexpr int DivisorFrom(int n, int low) { return n % low == 0 ? low : DivisorFrom(n, low + 1); }
constexpr int OutputLanes(int pe, int sf) { return DivisorFrom(pe, CeilDivide(pe, sf)); }

}  // namespace zeile

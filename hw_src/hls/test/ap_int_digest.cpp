// SPDX-License-Identifier: Apache-2.0
// One number from everything that ap_int and ap_uint can do, on random operands of many widths: two implementations
// that print the same number agree. Argument: operands of each pair of types, default 200.
// Left out, for the vendor's headers go by C's rules there and ours by arithmetic: division with operands of either
// sign of which one is negative, and comparing such operands of 32 bits. The units have neither.
#include <ap_int.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

uint64_t digest = 14695981039346656037u;  // FNV-1a
uint64_t random_state = 1;
long long results = 0;

void Mix(uint64_t value) {
  digest = (digest ^ value) * 1099511628211u;
  ++results;
}

// A result's value and width; its sign shows in the value.
template <class X, int = X::width>
void Mix(const X& value) {
  Mix(static_cast<uint64_t>(value.to_int64()) + X::width * 0x9E3779B97F4A7C15u);
}

// Random, with ends of the range often among it.
template <class T>
T Operand() {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  const uint64_t bits = random_state >> 1 ^ random_state << 40, low = uint64_t{1} << (T::width - 1);
  switch (random_state >> 61) {
    case 0:
      return T(low);
    case 1:
      return T(low - 1);
    case 2:
      return T(~uint64_t{0});
    default:
      return T(bits);
  }
}

template <class A, class B>
void Compare(const A& a, const B& b) {
  if ((a < 0) != (b < 0) && A::width == 32) return;
  Mix(a == b);
  Mix(a != b);
  Mix(a < b);
  Mix(a <= b);
  Mix(a > b);
  Mix(a >= b);
  Mix(b < a);
  Mix(b == a);
}

template <class A, class B>
void Binary(const A& a, const B& b) {
  Mix(a + b);
  Mix(a - b);
  Mix(a * b);
  Mix(a & b);
  Mix(a | b);
  Mix(a ^ b);
  if (b != 0 && (a < 0) == (b < 0)) {
    Mix(a / b);
    Mix(a % b);
  }
  Compare(a, b);
}

template <class A, class B>
void Assign(const A& a, const B& b) {
  A x = a;
  Mix(x += b);
  Mix(x -= a);
  Mix(x *= b);
  Mix(A(b));
  Mix(A(a + b));
  Mix(a < 0 ? A(a - b) : A(a * b));
}

template <class A>
void Unary(const A& a) {
  Mix(-a);
  Mix(~a);
  Mix(!a);
  A x = a;
  Mix(x++);
  Mix(++x);
  Mix(x--);
  Mix(--x);
  Mix(static_cast<uint64_t>(a.to_int()));
  Mix(a.to_uint());
  Mix(a ? 1 : 2);
  for (int n = 0; n < A::width; ++n) {
    Mix(a >> n);
    Mix(a << n);
    Mix(a[n] ? 1 : 0);
    x = a;
    x >>= n;
    Mix(x);
    x <<= n;
    Mix(x);
    x = a;
    x[n] = !a[n];
    Mix(x);
  }
}

template <class A, class B>
void Ranges(const A& a, const B& b) {
  const int high = A::width - 1, middle = A::width / 2;
  A x = a;
  Mix(static_cast<uint64_t>(a.range(high, middle).to_uint()));
  Mix(static_cast<uint64_t>(a(middle, 0).to_uint()));
  x.range(high, middle) = b;
  Mix(x);
  x(middle, 0) = a(high, high - middle);
  Mix(x);
}

// With C integers on either side.
template <class A>
void Integers(const A& a, int i, unsigned char c, short s, bool b) {
  Binary(a, i);
  Mix(i + a);
  Mix(i - a);
  Mix(i * a);
  Mix(a + c);
  Mix(a - s);
  Mix(a * c);
  Mix(a | b);
  Mix(a ^ s);
  Compare(a, s);
  Mix(a >= c);
  Mix(A(i));
  Mix(A(s));
  Mix(A(b));
}

template <class A, class B>
void Pair(int count) {
  for (int n = 0; n < count; ++n) {
    const A a = Operand<A>();
    const B b = Operand<B>();
    Binary(a, b);
    Assign(a, b);
    Ranges(a, b);
  }
}

template <class A>
void One(int count) {
  for (int n = 0; n < count; ++n) {
    const A a = Operand<A>();
    const ap_int<32> i = Operand<ap_int<32>>();
    Unary(a);
    Integers(a, i.to_int(), static_cast<unsigned char>(i.to_int()), static_cast<short>(i.to_int()), i > 0);
  }
}

template <int W1, int W2>
void Widths(int count) {
  Pair<ap_int<W1>, ap_int<W2>>(count);
  Pair<ap_int<W1>, ap_uint<W2>>(count);
  Pair<ap_uint<W1>, ap_int<W2>>(count);
  Pair<ap_uint<W1>, ap_uint<W2>>(count);
}

template <int W>
void Width(int count) {
  One<ap_int<W>>(count);
  One<ap_uint<W>>(count);
  Widths<W, 1>(count);
  Widths<W, 4>(count);
  Widths<W, 9>(count);
  Widths<W, 16>(count);
  Widths<W, 31>(count);
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 200;
  Width<1>(count);
  Width<4>(count);
  Width<8>(count);
  Width<13>(count);
  Width<24>(count);
  Width<32>(count);
  for (int n = 0; n < count; ++n) {  // the widest: no operator may grow beyond them
    const ap_uint<64> a = Operand<ap_uint<64>>(), b = Operand<ap_uint<64>>();
    Mix(a & b);
    Mix(a ^ b);
    Mix(a == b);
    Mix(a < b);
    Assign(a, b);
    Ranges(a, b);
    Unary(ap_uint<63>(a));
    Unary(ap_int<63>(b));
  }
  std::printf("%lld results %016llx\n", results, static_cast<unsigned long long>(digest));
}

// SPDX-License-Identifier: Apache-2.0
// The functions of arithmetic.h on operands from the input: a name's number, then its operands, until -1.
#include "arithmetic.h"

#include "driver.h"

using namespace zeile;

template <int A>
static void Gates() {
  const int64_t i = Get(), f = Get(), g = Get(), o = Get(), t = Get(), small = Get(), large = Get();
  Put(UpdateCell<A, A + 2>(ap_uint<A>(i), ap_uint<A>(f), ap_int<A>(g), ap_int<A + 2>(small)).to_int());
  Put(UpdateCell<A, 12>(ap_uint<A>(i), ap_uint<A>(f), ap_int<A>(g), ap_int<12>(large)).to_int());
  Put(HiddenOutput<A>(ap_uint<A>(o), ap_int<A>(t)).to_int());
}

static void Rescaled() {
  const int64_t accumulator = Get(), multiplier = Get();
  const ap_int<33> value = Rescale(ap_int<32>(accumulator), ap_uint<15>(multiplier));
  Put(value.to_int64());
  Put(ClampUnsigned<4>(value).to_int());
  Put(ClampUnsigned<8>(value).to_int());
  Put(ClampSigned<8>(value).to_int());
}

static void Products() {
  const int64_t weight0 = Get(), weight1 = Get(), code = Get();
  ap_int<32> sum0 = Get(), sum1 = Get();
  const ap_int<32> single = Accumulate(sum0, ap_int<8>(weight0), ap_int<9>(code));
  AccumulatePair(sum0, sum1, ap_int<8>(weight0), ap_int<8>(weight1), ap_int<9>(code));
  Put(single.to_int());
  Put(sum0.to_int());
  Put(sum1.to_int());
}

static void Quotients() {
  const ap_uint<24> n = Get();
  Put(Quotient<1>(n).to_int());
  Put(Quotient<3>(n).to_int());
  Put(Quotient<24>(n).to_int());
  Put(Quotient<64>(n).to_int());
  Put(Quotient<96>(n).to_int());
  Put(Quotient<251>(n).to_int());
  Put(Quotient<65535>(n).to_int());
}

int main() {
  for (int64_t name = Get(); name >= 0; name = Get()) {
    if (name == 0) Rescaled();
    if (name == 1) Products();
    if (name == 9) Quotients();
    if (name == 2) Gates<2>();
    if (name == 3) Gates<3>();
    if (name == 4) Gates<4>();
    if (name == 5) Gates<5>();
    if (name == 6) Gates<6>();
    if (name == 7) Gates<7>();
    if (name == 8) Gates<8>();
  }
}

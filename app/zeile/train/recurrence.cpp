// SPDX-License-Identifier: Apache-2.0
// Recurrence of an LSTM layer for training on CPUs. Quantised: forward in exact integers, backward through time with
// straight-through estimators. Float: the plain LSTM. Built on first use by recurrence.py, which holds the same in
// plain torch.
//
// Codes are integers held in float32: every sum stays below 2^24, so float32 products and sums are exact in any
// order and equal the integer datapath (hw_src/DATAPATH.md) to the last bit.
#include <torch/extension.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

typedef float Lanes __attribute__((vector_size(32)));  // 8 floats; the compiler maps it to what the CPU has
constexpr int kLanes = 8;
constexpr int kTile = 6;    // batch rows of a register tile
constexpr int kPanel = 16;  // columns of a register tile

// B (K x N) packed by panels of kPanel columns: panel, k, column.
std::vector<float> Pack(const float* b, int k_size, int n_size, bool transposed) {
  std::vector<float> packed(static_cast<size_t>(k_size) * n_size);
  for (int n = 0; n < n_size; n++)
    for (int k = 0; k < k_size; k++)
      packed[(static_cast<size_t>(n / kPanel) * k_size + k) * kPanel + n % kPanel] =
          transposed ? b[static_cast<size_t>(n) * k_size + k] : b[static_cast<size_t>(k) * n_size + n];
  return packed;
}

template <int Rows>
void Tile(const float* a, int k_size, const float* panel, float* c, int n_size, bool add) {
  Lanes sum[Rows][2] = {};
  for (int k = 0; k < k_size; k++) {
    Lanes b0, b1;
    __builtin_memcpy(&b0, panel + k * kPanel, sizeof b0);
    __builtin_memcpy(&b1, panel + k * kPanel + kLanes, sizeof b1);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; r++) {
      const float v = a[static_cast<size_t>(r) * k_size + k];
      sum[r][0] += v * b0;
      sum[r][1] += v * b1;
    }
  }
  for (int r = 0; r < Rows; r++)
    for (int half = 0; half < 2; half++) {
      float* out = c + static_cast<size_t>(r) * n_size + half * kLanes;
      Lanes old = {};
      if (add) __builtin_memcpy(&old, out, sizeof old);
      old += sum[r][half];
      __builtin_memcpy(out, &old, sizeof old);
    }
}

// C (rows x N) = or += A (rows x K) * packed.
void Multiply(const float* a, int rows, int k_size, const std::vector<float>& packed, float* c, int n_size,
              bool add) {
  for (int n = 0; n < n_size; n += kPanel) {
    const float* panel = packed.data() + static_cast<size_t>(n) * k_size;
    int r = 0;
    for (; r + kTile <= rows; r += kTile)
      Tile<kTile>(a + static_cast<size_t>(r) * k_size, k_size, panel, c + static_cast<size_t>(r) * n_size + n,
                  n_size, add);
    for (; r < rows; r++)
      Tile<1>(a + static_cast<size_t>(r) * k_size, k_size, panel, c + static_cast<size_t>(r) * n_size + n, n_size,
              add);
  }
}

struct Widths {
  int out_bits, cell_bits;
  double divisor;  // m_A / 2^q
  float gate_unit, h_unit, cell_unit, cell_max, cell_min, ig_shift;
  Widths(int a, int c, int64_t multiplier, int64_t shift)
      : out_bits(a),
        cell_bits(c),
        divisor(std::ldexp(static_cast<double>(multiplier), -static_cast<int>(shift))),
        gate_unit(1.f / static_cast<float>((1 << a) - 1)),
        h_unit(std::ldexp(1.f, 1 - a)),
        cell_unit(std::ldexp(1.f, 3 - c)),
        cell_max(std::ldexp(1.f, c - 1) - 1),
        cell_min(-std::ldexp(1.f, c - 1)),
        ig_shift(std::ldexp(1.f, c - a - 2)) {}
  // D_A: exact in double, since |n| * m_A stays far below 2^53.
  float Divide(float n) const { return static_cast<float>(std::floor(n * divisor + 0.5)); }
};

typedef int32_t Whole __attribute__((vector_size(32)));

Lanes Load(const float* from) {
  Lanes v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

void Store(float* to, Lanes v) { __builtin_memcpy(to, &v, sizeof v); }

// 1 / (1 + exp(-x)) to a few units in the last place: exp by powers of two and a polynomial of degree 6.
Lanes Sigmoid(Lanes x) {
  const Lanes low = Lanes{} - 80.f, high = Lanes{} + 80.f;
  Lanes y = -x;
  y = y < low ? low : y;
  y = y > high ? high : y;
  const Lanes scaled = y * 1.44269504f + 12582912.f;  // + 1.5 * 2^23 rounds to a whole number
  const Lanes n = scaled - 12582912.f;
  const Lanes r = (y - n * 0.693359375f) + n * 2.12194440e-4f;  // in two parts, so that nothing is lost
  Lanes e = r * (1.f / 720.f) + (1.f / 120.f);
  e = e * r + (1.f / 24.f);
  e = e * r + (1.f / 6.f);
  e = e * r + 0.5f;
  e = e * r + 1.f;
  e = e * r + 1.f;
  const Whole power = (__builtin_convertvector(n, Whole) + 127) << 23;
  Lanes two;
  __builtin_memcpy(&two, &power, sizeof two);
  return 1.f / (1.f + e * two);
}

Lanes Tanh(Lanes x) { return 2.f * Sigmoid(2.f * x) - 1.f; }

}  // namespace

// Float: pre (T, B, 4H) = bias + W x, u (4H, H). Returns h (T, B, H), gates (T, B, 4H), cells (T, B, H).
std::vector<at::Tensor> float_forward(at::Tensor pre, at::Tensor u, at::Tensor lengths, bool reverse) {
  const int T = pre.size(0), B = pre.size(1), H = pre.size(2) / 4;
  TORCH_CHECK(pre.is_contiguous() && u.is_contiguous() && H % kPanel == 0, "units must be a multiple of 16");
  auto h_out = at::zeros({T, B, H}, pre.options()), c_out = at::zeros({T, B, H}, pre.options());
  auto gates = pre.clone();
  const std::vector<float> packed = Pack(u.data_ptr<float>(), H, 4 * H, true);
  const std::vector<float> zeros(static_cast<size_t>(B) * H, 0.f);
  const int32_t* length = lengths.data_ptr<int32_t>();
  float *h_all = h_out.data_ptr<float>(), *c_all = c_out.data_ptr<float>(), *g_all = gates.data_ptr<float>();
  pybind11::gil_scoped_release release;
  for (int s = 0; s < T; s++) {
    const int t = reverse ? T - 1 - s : s, before = reverse ? t + 1 : t - 1;
    const float* h_old = s ? h_all + static_cast<size_t>(before) * B * H : zeros.data();
    const float* c_old = s ? c_all + static_cast<size_t>(before) * B * H : zeros.data();
    float* g = g_all + static_cast<size_t>(t) * B * 4 * H;
    Multiply(h_old, B, H, packed, g, 4 * H, true);
    for (int b = 0; b < B; b++) {
      if (t >= length[b]) continue;  // beyond the line: state stays 0
      float* gb = g + static_cast<size_t>(b) * 4 * H;
      const size_t at = (static_cast<size_t>(t) * B + b) * H;
      for (int j = 0; j < H; j += kLanes) {
        const Lanes i = Sigmoid(Load(gb + j)), f = Sigmoid(Load(gb + H + j)), k = Tanh(Load(gb + 2 * H + j)),
                    o = Sigmoid(Load(gb + 3 * H + j));
        const Lanes c = f * Load(c_old + static_cast<size_t>(b) * H + j) + i * k;
        Store(gb + j, i);
        Store(gb + H + j, f);
        Store(gb + 2 * H + j, k);
        Store(gb + 3 * H + j, o);
        Store(c_all + at + j, c);
        Store(h_all + at + j, o * Tanh(c));
      }
    }
  }
  return {h_out, gates, c_out};
}

// Gradient of the pre-activations (T, B, 4H) from that of h (T, B, H).
at::Tensor float_backward(at::Tensor dh_out, at::Tensor u, at::Tensor lengths, at::Tensor gates, at::Tensor cells,
                          bool reverse) {
  const int T = gates.size(0), B = gates.size(1), H = gates.size(2) / 4;
  auto out = at::zeros({T, B, 4 * H}, dh_out.options());
  const std::vector<float> packed = Pack(u.data_ptr<float>(), 4 * H, H, false);
  const int32_t* length = lengths.data_ptr<int32_t>();
  const float *dho = dh_out.data_ptr<float>(), *g_all = gates.data_ptr<float>(), *c_all = cells.data_ptr<float>();
  float* d_all = out.data_ptr<float>();
  pybind11::gil_scoped_release release;
  std::vector<float> dc(static_cast<size_t>(B) * H, 0.f), dh(static_cast<size_t>(B) * H, 0.f);
  const std::vector<float> zeros(static_cast<size_t>(B) * H, 0.f);
  for (int s = T - 1; s >= 0; s--) {
    const int t = reverse ? T - 1 - s : s, before = reverse ? t + 1 : t - 1;
    const float* c_old = s ? c_all + static_cast<size_t>(before) * B * H : zeros.data();
    const size_t row = static_cast<size_t>(t) * B;
    for (int b = 0; b < B; b++) {
      float* dcb = dc.data() + static_cast<size_t>(b) * H;
      if (t >= length[b]) {
        std::fill_n(dcb, H, 0.f);
        continue;
      }
      const float *g = g_all + (row + b) * 4 * H, *dhb = dh.data() + static_cast<size_t>(b) * H;
      float* d = d_all + (row + b) * 4 * H;
      for (int j = 0; j < H; j += kLanes) {
        const Lanes i = Load(g + j), f = Load(g + H + j), k = Load(g + 2 * H + j), o = Load(g + 3 * H + j);
        const Lanes tc = Tanh(Load(c_all + (row + b) * H + j));
        const Lanes dhr = Load(dho + (row + b) * H + j) + Load(dhb + j);
        const Lanes dcr = Load(dcb + j) + dhr * o * (1.f - tc * tc);
        Store(d + j, dcr * k * i * (1.f - i));
        Store(d + H + j, dcr * Load(c_old + static_cast<size_t>(b) * H + j) * f * (1.f - f));
        Store(d + 2 * H + j, dcr * i * (1.f - k * k));
        Store(d + 3 * H + j, dhr * tc * o * (1.f - o));
        Store(dcb + j, dcr * f);
      }
    }
    Multiply(d_all + row * 4 * H, B, 4 * H, packed, dh.data(), H, false);
  }
  return out;
}

// clamp(R(a * m)) over memory laid out as (outer, channels): exact in double.
at::Tensor rescale(at::Tensor a, at::Tensor multiplier, double low, double high) {
  const int64_t channels = multiplier.numel(), outer = a.numel() / channels;
  auto out = at::empty_like(a);
  const float *from = a.data_ptr<float>(), *m = multiplier.data_ptr<float>();
  float* to = out.data_ptr<float>();
  pybind11::gil_scoped_release release;
  std::vector<double> scale(channels);
  for (int64_t k = 0; k < channels; k++) scale[k] = std::ldexp(static_cast<double>(m[k]), -15);
  for (int64_t i = 0; i < outer; i++)
    for (int64_t k = 0; k < channels; k++) {
      const double v = std::floor(from[i * channels + k] * scale[k] + 0.5);
      to[i * channels + k] = static_cast<float>(v < low ? low : v > high ? high : v);
    }
  return out;
}

// Maximum over kt x kr of maps whose memory is (B, T, rows, C); returns the maps and which of the window won.
std::vector<at::Tensor> pool(at::Tensor x, int64_t kt, int64_t kr) {
  const int64_t B = x.size(0), C = x.size(1), T = x.size(2), R = x.size(3), To = (T + kt - 1) / kt, Ro = R / kr;
  auto out = at::empty({B, C, To, Ro}, x.options(), at::MemoryFormat::ChannelsLast);
  auto winner = at::empty({B, To, Ro, C}, x.options().dtype(at::kByte));
  const float* from = x.data_ptr<float>();
  float* to = out.data_ptr<float>();
  uint8_t* won = winner.data_ptr<uint8_t>();
  pybind11::gil_scoped_release release;
  for (int64_t b = 0; b < B; b++)
    for (int64_t t = 0; t < To; t++)
      for (int64_t r = 0; r < Ro; r++, to += C, won += C) {
        std::fill_n(to, C, -1e30f);
        for (int64_t i = 0; i < kt && t * kt + i < T; i++)
          for (int64_t j = 0; j < kr; j++) {
            const float* v = from + ((b * T + t * kt + i) * R + r * kr + j) * C;
            const uint8_t place = static_cast<uint8_t>(i * kr + j);
            for (int64_t c = 0; c < C; c++) {
              won[c] = v[c] > to[c] ? place : won[c];
              to[c] = v[c] > to[c] ? v[c] : to[c];
            }
          }
      }
  return {out, winner};
}

at::Tensor pool_backward(at::Tensor d, at::Tensor winner, int64_t kt, int64_t kr, int64_t T) {
  const int64_t B = d.size(0), C = d.size(1), To = d.size(2), Ro = d.size(3), R = Ro * kr;
  auto out = at::empty({B, C, T, R}, d.options(), at::MemoryFormat::ChannelsLast);
  const float* from = d.data_ptr<float>();
  const uint8_t* won = winner.data_ptr<uint8_t>();
  float* to = out.data_ptr<float>();
  pybind11::gil_scoped_release release;
  for (int64_t b = 0; b < B; b++)
    for (int64_t t = 0; t < To; t++)
      for (int64_t r = 0; r < Ro; r++, from += C, won += C)
        for (int64_t i = 0; i < kt && t * kt + i < T; i++)
          for (int64_t j = 0; j < kr; j++) {
            float* v = to + ((b * T + t * kt + i) * R + r * kr + j) * C;
            const uint8_t place = static_cast<uint8_t>(i * kr + j);
            for (int64_t c = 0; c < C; c++) v[c] = won[c] == place ? from[c] : 0.f;
          }
  return out;
}

// acc_x (T, B, 4H): bias + W x, exact integers; u (4H, H) codes; multiplier (4H); lengths (B) int32.
// Tables: sigmoid, tanh (256) and tanh_cell (2^Cb), codes as float32.
// Returns h codes (T, B, H), pre-activations (T, B, 4H) uint8 (p + 128), cells (T, B, H) int16.
std::vector<at::Tensor> forward(at::Tensor acc_x, at::Tensor u, at::Tensor multiplier, at::Tensor lengths,
                                at::Tensor sigmoid, at::Tensor tanh, at::Tensor tanh_cell, int64_t out_bits,
                                int64_t cell_bits, int64_t div_m, int64_t div_q, bool reverse) {
  const int T = acc_x.size(0), B = acc_x.size(1), H = acc_x.size(2) / 4;
  TORCH_CHECK(acc_x.is_contiguous() && u.is_contiguous() && H % kPanel == 0, "units must be a multiple of 16");
  const Widths w(out_bits, cell_bits, div_m, div_q);
  auto h_out = at::zeros({T, B, H}, acc_x.options());
  auto p_out = at::empty({T, B, 4 * H}, acc_x.options().dtype(at::kByte));
  auto c_out = at::zeros({T, B, H}, acc_x.options().dtype(at::kShort));
  const std::vector<float> packed = Pack(u.data_ptr<float>(), H, 4 * H, true);
  std::vector<float> acc(static_cast<size_t>(B) * 4 * H), zeros(static_cast<size_t>(B) * H, 0.f);
  std::vector<int16_t> zero_cells(static_cast<size_t>(B) * H, 0);
  const float *sig = sigmoid.data_ptr<float>(), *tan = tanh.data_ptr<float>(),
              *tan_c = tanh_cell.data_ptr<float>(), *m = multiplier.data_ptr<float>();
  const int32_t* length = lengths.data_ptr<int32_t>();
  const int half = 1 << (cell_bits - 1);
  pybind11::gil_scoped_release release;
  std::vector<double> scale(4 * H);
  for (int j = 0; j < 4 * H; j++) scale[j] = std::ldexp(static_cast<double>(m[j]), -15);
  for (int s = 0; s < T; s++) {
    const int t = reverse ? T - 1 - s : s, before = reverse ? t + 1 : t - 1;
    const size_t row = static_cast<size_t>(t) * B;
    const float* h_old = s ? h_out.data_ptr<float>() + static_cast<size_t>(before) * B * H : zeros.data();
    const int16_t* c_old = s ? c_out.data_ptr<int16_t>() + static_cast<size_t>(before) * B * H : zero_cells.data();
    std::copy_n(acc_x.data_ptr<float>() + row * 4 * H, acc.size(), acc.data());
    Multiply(h_old, B, H, packed, acc.data(), 4 * H, true);
    uint8_t* p = p_out.data_ptr<uint8_t>() + row * 4 * H;
    for (int b = 0; b < B; b++) {
      const float* a = acc.data() + static_cast<size_t>(b) * 4 * H;
      uint8_t* pb = p + static_cast<size_t>(b) * 4 * H;
      for (int j = 0; j < 4 * H; j++) {
        const double v = std::floor(static_cast<double>(a[j]) * scale[j] + 0.5);
        pb[j] = static_cast<uint8_t>(static_cast<int>(std::min(127.0, std::max(-128.0, v))) + 128);
      }
      if (t >= length[b]) continue;  // beyond the line: state stays 0
      float* h = h_out.data_ptr<float>() + (row + b) * H;
      int16_t* c = c_out.data_ptr<int16_t>() + (row + b) * H;
      for (int j = 0; j < H; j++) {
        const float i = sig[pb[j]], f = sig[pb[H + j]], g = tan[pb[2 * H + j]], o = sig[pb[3 * H + j]];
        const float n = f * c_old[static_cast<size_t>(b) * H + j] + i * g * w.ig_shift;
        const float cell = std::min(w.cell_max, std::max(w.cell_min, w.Divide(n)));
        c[j] = static_cast<int16_t>(cell);
        h[j] = w.Divide(o * tan_c[static_cast<int>(cell) + half]);
      }
    }
  }
  return {h_out, p_out, c_out};
}

// Gradient of the accumulators (T, B, 4H) from that of the h codes (T, B, H). Smooth tables: the real sigmoid and
// tanh of each pre-activation and cell code, for the derivatives.
at::Tensor backward(at::Tensor dh_codes, at::Tensor u, at::Tensor multiplier, at::Tensor lengths, at::Tensor p_in,
                    at::Tensor c_in, at::Tensor sigmoid, at::Tensor tanh, at::Tensor tanh_cell,
                    at::Tensor smooth_sigmoid, at::Tensor smooth_tanh, at::Tensor smooth_cell, int64_t out_bits,
                    int64_t cell_bits, bool reverse) {
  const int T = p_in.size(0), B = p_in.size(1), H = p_in.size(2) / 4;
  const Widths w(out_bits, cell_bits, 1, 0);
  auto out = at::zeros({T, B, 4 * H}, dh_codes.options());
  const std::vector<float> packed = Pack(u.data_ptr<float>(), 4 * H, H, false);
  const float *sig = sigmoid.data_ptr<float>(), *tan = tanh.data_ptr<float>(),
              *tan_c = tanh_cell.data_ptr<float>(), *ssig = smooth_sigmoid.data_ptr<float>(),
              *stan = smooth_tanh.data_ptr<float>(), *stan_c = smooth_cell.data_ptr<float>(),
              *m = multiplier.data_ptr<float>(), *dho = dh_codes.data_ptr<float>();
  const uint8_t* p_all = p_in.data_ptr<uint8_t>();
  const int16_t* c_all = c_in.data_ptr<int16_t>();
  const int32_t* length = lengths.data_ptr<int32_t>();
  const int half = 1 << (cell_bits - 1);
  float* d_all = out.data_ptr<float>();
  pybind11::gil_scoped_release release;
  std::vector<float> dc(static_cast<size_t>(B) * H, 0.f), dh(static_cast<size_t>(B) * H, 0.f);
  std::vector<float> unit(4 * H);  // d(real pre-activation) / d(accumulator)
  for (int j = 0; j < 4 * H; j++) unit[j] = std::ldexp(m[j], -19);
  for (int s = T - 1; s >= 0; s--) {
    const int t = reverse ? T - 1 - s : s, before = reverse ? t + 1 : t - 1;
    const size_t row = static_cast<size_t>(t) * B;
    for (int b = 0; b < B; b++) {
      float *dcb = dc.data() + static_cast<size_t>(b) * H, *dhb = dh.data() + static_cast<size_t>(b) * H;
      if (t >= length[b]) {
        std::fill_n(dcb, H, 0.f);
        continue;
      }
      const uint8_t* p = p_all + (row + b) * 4 * H;
      const int16_t* c = c_all + (row + b) * H;
      const int16_t* c_old = s ? c_all + (static_cast<size_t>(before) * B + b) * H : nullptr;
      const float* dhb_out = dho + (row + b) * H;
      float* d = d_all + (row + b) * 4 * H;
      for (int j = 0; j < H; j++) {
        const int pi = p[j], pf = p[H + j], pg = p[2 * H + j], po = p[3 * H + j];
        const float i = sig[pi] * w.gate_unit, f = sig[pf] * w.gate_unit, g = tan[pg] * w.h_unit,
                    o = sig[po] * w.gate_unit, tc = tan_c[c[j] + half] * w.h_unit;
        const float si = ssig[pi], sf = ssig[pf], sg = stan[pg], so = ssig[po], stc = stan_c[c[j] + half];
        const float dhr = (dhb_out[j] + dhb[j]) / w.h_unit;  // of the real h
        float dcr = dcb[j] + dhr * o * (1.f - stc * stc);
        if (c[j] >= w.cell_max || c[j] <= w.cell_min) dcr = 0.f;  // saturated
        const float c_before = c_old ? c_old[j] * w.cell_unit : 0.f;
        d[j] = dcr * g * si * (1.f - si) * unit[j];
        d[H + j] = dcr * c_before * sf * (1.f - sf) * unit[H + j];
        d[2 * H + j] = dcr * i * (1.f - sg * sg) * unit[2 * H + j];
        d[3 * H + j] = dhr * tc * so * (1.f - so) * unit[3 * H + j];
        dcb[j] = dcr * f;
      }
    }
    Multiply(d_all + row * 4 * H, B, 4 * H, packed, dh.data(), H, false);
  }
  return out;
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("forward", &forward);
  m.def("backward", &backward);
  m.def("float_forward", &float_forward);
  m.def("float_backward", &float_backward);
  m.def("rescale", &rescale);
  m.def("pool", &pool);
  m.def("pool_backward", &pool_backward);
}

// SPDX-License-Identifier: Apache-2.0
// Test bench of the whole core for Vitis HLS' C simulation and co-simulation: packets in, answers compared.
// Vectors: `python -m zeile.hw.vectors DESIGN --write FILE`; a line a word, `i` in or `o` out, 16 hexadecimal digits,
// 1 with TLAST. The upper half of an answer's last word counts cycles and is not compared.
#include <hls_stream.h>

#include <cstdint>
#include <cstdio>
#include <vector>

#include "packet.h"

void zeile_core(hls::stream<zeile::Beat>& s_in, hls::stream<zeile::Beat>& m_out);

namespace {

struct Word {
  uint64_t data;
  bool last;
};

bool ReadVectors(const char* path, std::vector<Word>& in, std::vector<Word>& out) {
  FILE* file = std::fopen(path, "r");
  if (file == nullptr) return false;
  char mark = 0;
  unsigned long long data = 0;
  int last = 0;
  while (std::fscanf(file, " %c %llx %d", &mark, &data, &last) == 3) {
    (mark == 'i' ? in : out).push_back({data, last != 0});
  }
  std::fclose(file);
  return !in.empty() && !out.empty();
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Word> in, out;
  const char* path = argc > 1 ? argv[1] : "vectors.txt";
  if (!ReadVectors(path, in, out)) {
    std::printf("%s holds no vectors; make them with python -m zeile.hw.vectors\n", path);
    return 2;
  }
  hls::stream<zeile::Beat> s_in("s_in"), m_out("m_out");
  for (const Word& word : in) {
    zeile::Beat beat;
    beat.data = word.data;
    beat.keep = -1;
    beat.strb = -1;
    beat.last = word.last;
    s_in.write(beat);
  }
  zeile_core(s_in, m_out);
  size_t wrong = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const zeile::Beat beat = m_out.read();  // waits: the core's tasks run on
    const uint64_t mask = out[i].last ? 0xFFFFFFFFULL : ~0ULL;
    const uint64_t data = beat.data.to_uint64() & mask;
    if (data == out[i].data && (beat.last != 0) == out[i].last) continue;
    if (wrong++ < 8) {
      std::printf("word %zu is %016llx, expected was %016llx\n", i, static_cast<unsigned long long>(data),
                  static_cast<unsigned long long>(out[i].data));
    }
  }
  std::printf("%zu of %zu words wrong\n", wrong, out.size());
  return wrong == 0 ? 0 : 1;
}

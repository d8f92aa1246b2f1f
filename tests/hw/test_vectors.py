# SPDX-License-Identifier: Apache-2.0
"""Vectors for the whole core: the C simulation gives the expected answers, and Vitis HLS' test bench compares them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from zeile.hw import vectors
from zeile.hw.config import write_headers
from zeile.hw.csim import COMPILERS, Core, build
from zeile.hw.design import load_design

ROOT = Path(__file__).resolve().parent.parent.parent
HW_SRC = ROOT / "hw_src"
COMPILER = next((found for name in COMPILERS if (found := shutil.which(name))), "")

pytestmark = pytest.mark.skipif(not COMPILER, reason="there is no C++ compiler")

UNBOUNDED = """\
#pragma once
#include <queue>
namespace hls {  // renamed by -D: the core has a stream of its own
template <class T> struct stream {
  explicit stream(const char*) {}
  bool empty() const { return queue.empty(); }
  void write(const T& value) { queue.push(value); }
  T read() { T value = queue.front(); queue.pop(); return value; }
  std::queue<T> queue;
};
}
"""
GLUE = """\
#include <hls_stream.h>
#include <vector>
#include "packet.h"
extern "C" {
void* zeile_core_new(uint64_t, int, int, int);
int64_t zeile_core_send(void*, const uint64_t*, int64_t, int);
int64_t zeile_core_run(void*, int64_t);
int64_t zeile_core_receive(void*, uint64_t*, int64_t, int*);
}
void zeile_core(hls::stream<zeile::Beat>& s_in, hls::stream<zeile::Beat>& m_out) {
  void* core = zeile_core_new(1, 100, 100, 0);
  int asked = 0;
  while (!s_in.empty()) {
    const zeile::Beat beat = s_in.read();
    const uint64_t word = beat.data.to_uint64();
    zeile_core_send(core, &word, 1, beat.last != 0);
    asked += beat.last != 0;
  }
  while (asked > 0) {
    if (zeile_core_run(core, 1 << 20) < 0) return;
    uint64_t word = 0;
    int last = 0;
    while (!last && zeile_core_receive(core, &word, 1, &last) == 1) {
      zeile::Beat beat;
      beat.data = word;
      beat.last = last;
      m_out.write(beat);
    }
    asked -= last;
  }
}
"""


@pytest.mark.parametrize("name", ["tiny", "tiny-uni"])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_simulated_core_answers_as_expected(name: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    design = load_design(HW_SRC / "designs" / f"{name}.json")
    asked = vectors.exchanges(design, seed)
    with Core(build(design, HW_SRC), seed=seed, in_stall=200, out_stall=300) as core:
        assert vectors.answered(core, asked) == []


def test_a_wrong_answer_is_named() -> None:
    design = load_design(HW_SRC / "designs" / "tiny.json")
    asked = vectors.exchanges(design)
    question, answer = asked[-1]
    answer = answer.copy()
    answer[2] ^= np.uint64(1)
    with Core(build(design, HW_SRC)) as core:
        (sentence,) = vectors.answered(core, [*asked[:-1], (question, answer)])
    assert sentence.startswith(f"answer {len(asked) - 1} is")


def test_lines_use_the_range_of_scores() -> None:
    design = load_design(HW_SRC / "designs" / "tiny.json")
    scores = vectors.exchanges(design, lengths=[64])[-1][1][2:-1].view(np.int8)
    assert len(np.unique(scores)) > 40
    assert (np.abs(scores.astype(int)) < 127).mean() > 0.8


@pytest.mark.parametrize("source", ["top.cpp", "units.cpp"])
@pytest.mark.parametrize("name", ["tiny", "tiny-uni", "zeile-print"])
def test_what_is_synthesised_compiles(name: str, source: str, tmp_path: Path) -> None:
    write_headers(load_design(HW_SRC / "designs" / f"{name}.json"), tmp_path)
    flags = ["-std=c++14", "-fsyntax-only", "-Wno-unknown-pragmas", f"-I{tmp_path}", f"-I{HW_SRC / 'hls'}"]
    command = [COMPILER, *flags, f"-I{HW_SRC / 'hls' / 'sim'}", str(HW_SRC / "hls" / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_test_bench_passes_what_is_right_and_fails_what_is_wrong(tmp_path: Path) -> None:
    design = load_design(HW_SRC / "designs" / "tiny.json")
    library = build(design, HW_SRC)
    (tmp_path / "hls_stream.h").write_text(UNBOUNDED, "utf-8")
    (tmp_path / "glue.cpp").write_text(GLUE, "utf-8")
    include = [f"-I{tmp_path}", f"-I{HW_SRC / 'hls'}", f"-I{HW_SRC / 'hls' / 'sim'}"]
    bench = tmp_path / "bench"
    sources = [str(HW_SRC / "hls" / "test" / "core_tb.cpp"), str(tmp_path / "glue.cpp"), str(library)]
    command = [COMPILER, "-std=c++14", "-Dhls=unbounded", *include, *sources, "-o", str(bench)]
    subprocess.run(command, check=True, capture_output=True)
    text = vectors.text(vectors.exchanges(design))
    (tmp_path / "right.txt").write_text(text, "utf-8")
    lines = text.splitlines()
    last = max(at for at, line in enumerate(lines) if line.startswith("o"))
    lines[last - 1] = lines[last - 1][:-3] + ("0" if lines[last - 1][-3] != "0" else "1") + lines[last - 1][-2:]
    (tmp_path / "wrong.txt").write_text("\n".join(lines) + "\n", "utf-8")

    def run(name: str) -> tuple[int, str]:
        done = subprocess.run([bench, tmp_path / name], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()[-1]

    assert run("right.txt")[0] == 0
    assert run("wrong.txt") == (1, f"1 of {sum(line.startswith('o') for line in lines)} words wrong")
    assert run("missing.txt")[0] == 2

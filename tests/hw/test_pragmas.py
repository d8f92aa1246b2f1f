# SPDX-License-Identifier: Apache-2.0
"""Every pragma of the hardware sources is one that Vitis HLS reads as meant; a misspelt one is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.hw.pragmas import pragmas, problems

ROOT = Path(__file__).resolve().parent.parent.parent
HLS = ROOT / "hw_src" / "hls"
SOURCES = sorted(path for path in HLS.rglob("*") if path.suffix in (".h", ".cpp") and "sim" not in path.parts)
EVERYTHING = "\n".join(path.read_text("utf-8") for path in SOURCES)

SOUND = """\
// #pragma HLS NONSENSE in a comment is no pragma
#pragma once
namespace zeile {
template <class T, int N>
class Unit {
 public:
  void step(hls::stream<T>& in) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable=sums_ type=cyclic factor=N dim=1
    T next[4];
#pragma HLS BIND_STORAGE variable=next type=ram_2p impl=lutram
  Step_Loop:
    for (int i = 0; i < 4; ++i) {
#pragma HLS UNROLL
      next[i] = sums_[i];
    }
  }

 private:
  T sums_[4];
};
#define TASK(name) void name() { _Pragma("HLS PIPELINE II=1 style=flp") static Unit<int, 4> unit; }
void top(hls::stream<Beat>& s_in) {
#pragma HLS INTERFACE mode=axis port=s_in
#pragma HLS INTERFACE mode=ap_ctrl_none port=return
}
}  // namespace zeile
"""

SLIPS = [
    ("#pragma HLS UNROLL", "#pragma HLS UNROL", "unknown directive 'UNROL'"),
    ("#pragma HLS UNROLL", "#pragma HLS unroll", "unknown directive 'unroll'"),
    ("#pragma HLS UNROLL", "#pragma HSL UNROLL", "neither HLS"),
    ("#pragma HLS UNROLL", "#pragma HLS", "unknown directive ''"),
    ("#pragma HLS UNROLL", "#pragma HLS UNROLL faktor=2", "no option 'faktor'"),
    ("#pragma HLS UNROLL", "#pragma HLS UNROLL factor 2", "factor lacks a value"),
    ("#pragma HLS UNROLL", "#pragma HLS UNROLL factor=kNowhere", "neither a number nor a name"),
    ("mode=axis port=s_in", "axis port=s_in", "no option 'axis'"),
    ("mode=axis port=s_in", "mode=axis port=s_out", "no 's_out' in the function"),
    ("mode=axis port=s_in", "mode=axi port=s_in", "mode is 'axi'"),
    ("mode=axis port=s_in", "mode=axis", "needs port="),
    ("mode=ap_ctrl_none port=return", "mode=ap_ctrl_none port=s_in", "belongs to port=return"),
    ("II=1 style=flp", "II=1", "style=flp"),
    ("II=1 style=flp", "ii=1 style=flp", "no option 'ii'"),
    ("II=1 style=flp", "II=one style=flp", "not a number"),
    ("II=1 style=flp", "II=1 style=flp II=2", "given twice"),
    ("variable=sums_ ", "variable=sum_ ", "no 'sum_' in the function"),
    ("type=cyclic factor=N", "type=cyclic", "factor= belongs"),
    ("type=cyclic factor=N", "type=complete factor=2", "factor= belongs"),
    ("type=cyclic factor=N", "cyclic factor=N", "no option 'cyclic'"),
    ("type=ram_2p impl=lutram", "type=ram_t2p impl=lutram", "ram_t2p cannot be lutram"),
    ("type=ram_2p impl=lutram", "type=ram_2p impl=luttram", "impl is 'luttram'"),
    ("type=ram_2p impl=lutram", "type=ram_2p", "needs impl="),
    ("#pragma HLS INLINE", "#pragma HLS INLINE off=1", "takes no value"),
    ("#pragma HLS INLINE", "#pragma HLS DEPENDENCE variable=sums_ type=inter dependent=true", "says distance="),
    ("#pragma HLS INLINE", "int a;\n#pragma HLS INLINE", "come first in the braces"),
    ("    for (int i", "#pragma HLS UNROLL\n    for (int i", "first in the braces of its loop"),
    ("template <class T, int N>\n", "#pragma HLS INLINE\ntemplate <class T, int N>\n", "outside of every function"),
    ("variable=next type", "variable=sums type", "no 'sums' in the function"),
]


@pytest.mark.skipif(not SOURCES, reason="there are no HLS sources")
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(HLS).as_posix())
def test_pragmas_of_the_sources(path: Path) -> None:
    assert problems(path.read_text("utf-8"), EVERYTHING) == []


def test_a_sound_file_has_no_problem_and_all_its_pragmas_are_seen() -> None:
    assert problems(SOUND) == []
    assert [pragma.words[1] for pragma in pragmas(SOUND)] == [
        "INLINE",
        "ARRAY_PARTITION",
        "BIND_STORAGE",
        "UNROLL",
        "PIPELINE",
        "INTERFACE",
        "INTERFACE",
    ]


@pytest.mark.parametrize(("sound", "slip", "sentence"), SLIPS, ids=[slip.strip() for _, slip, _ in SLIPS])
def test_a_slip_is_found(sound: str, slip: str, sentence: str) -> None:
    assert SOUND.count(sound) == 1
    found = problems(SOUND.replace(sound, slip))
    assert any(sentence in each for each in found), found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(HLS).as_posix())
def test_a_slip_planted_into_each_real_pragma_is_found(path: Path) -> None:
    text = path.read_text("utf-8")
    rows = [pragma.line - 1 for pragma in pragmas(text)]
    lines = text.splitlines()
    for row in rows:
        lines[row] = re.sub(r"HLS (\w+)", r"HLS \1X", lines[row], count=1)
    found = problems("\n".join(lines), EVERYTHING)
    assert [int(sentence.split(":")[0].removeprefix("line ")) - 1 for sentence in found] == rows


def test_blanks_around_the_equals_sign_are_read() -> None:
    assert problems(SOUND.replace("mode=axis port=s_in", "mode = axis port = s_in")) == []
    assert problems(SOUND.replace("mode=axis port=s_in", "mode = axos port = s_in")) != []


def test_a_continued_line_is_one_pragma() -> None:
    text = SOUND.replace("mode=axis port=s_in", "mode=axis \\\n    port=s_in")
    assert problems(text) == []
    assert problems(text.replace("    port=s_in", "    prot=s_in")) != []


def test_the_synthesis_top_has_streams_and_no_registers() -> None:
    top = HLS / "top.cpp"
    if not top.exists():
        pytest.skip("there is no top.cpp")
    interfaces = sorted(" ".join(p.words[2:]) for p in pragmas(top.read_text("utf-8")) if p.words[1] == "INTERFACE")
    assert interfaces == [
        "mode=ap_ctrl_none port=return",
        "mode=axis port=m_out register_mode=both",
        "mode=axis port=s_in register_mode=both",
    ]

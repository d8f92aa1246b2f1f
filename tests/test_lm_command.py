# SPDX-License-Identifier: Apache-2.0
"""``zeile lm train`` as a user runs it, and what ``zeile read`` makes of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.models import line_png, write_tiny_model
from tests.test_cli import on_a_terminal, zeile_command

from zeile.language_model import load_language_model

TEXT = "the first line\nthe second line\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text(TEXT, "utf-8")
    (tmp_path / "b.txt").write_text("\ufeffdie dritte Zeile\r\n\r\nohne Zeilenende", "utf-8")
    return tmp_path


def test_a_trained_model_knows_the_texts_and_the_beam_search_reads_it(folder: Path) -> None:
    write_tiny_model(folder / "models")
    (folder / "0.png").write_bytes(line_png(0))
    done = zeile_command(folder, "lm", "train", "a.txt", "b.txt", "-o", "texts.arpa.gz", "--order", "3")
    assert (done.returncode, done.complaint) == (0, "")
    model = load_language_model(folder / "texts.arpa.gz")
    assert model.order == 3
    assert "\ufeff" not in model.symbols
    assert model.score("the second line") > model.score("the senocd line")
    assert model.score("ohne Zeilenende") > model.score("ohne Ende Zeilen")
    remedy = "zeile read --beam --language-model texts.arpa.gz FILE"
    assert remedy in done.text
    read = zeile_command(folder, *remedy.split()[1:-1], "--", "0.png")
    assert (read.returncode, read.complaint) == (0, "")
    assert read.text.strip()


def test_standard_input_and_a_pruned_model(folder: Path) -> None:
    both = zeile_command(folder, "lm", "train", "a.txt", "b.txt", "-o", "all.arpa", "--order", "4")
    piped = (folder / "a.txt").read_bytes() + (folder / "b.txt").read_bytes().removeprefix(b"\xef\xbb\xbf")
    same = zeile_command(folder, "lm", "train", "-", "--output", "piped.arpa", "--order", "4", stdin=piped)
    assert (both.returncode, same.returncode) == (0, 0)
    assert (folder / "all.arpa").read_bytes() == (folder / "piped.arpa").read_bytes()
    fewer = zeile_command(folder, "lm", "train", "a.txt", "b.txt", "-o", "few.arpa", "--order", "4", "--minimum", "2")
    assert fewer.returncode == 0
    assert (folder / "few.arpa").stat().st_size < (folder / "all.arpa").stat().st_size


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.txt"], 2, "the following arguments are required: -o/--output"),
        (["a.txt", "-o", "x.arpa", "--order", "21"], 2, "order 21 is not in 1 ... 20"),
        (["a.txt", "-o", "x.arpa", "--minimum", "0"], 2, "minimum 0 below 1"),
        (["a.txt", "-o", "none/x.arpa"], 2, "--output none/x.arpa: is a folder, or its folder does not exist"),
        (["a.txt", "-o", "./a.txt"], 2, "--output a.txt: is one of the texts too"),
        (["none.txt", "-o", "x.arpa"], 1, "none.txt: cannot be read (No such file or directory)"),
        (["latin1.txt", "-o", "x.arpa"], 1, "latin1.txt, line 2: is not UTF-8 (invalid continuation byte)"),
        (["empty.txt", "-o", "x.arpa"], 1, "the texts have no characters; give lines of text"),
    ],
)
def test_mistakes_are_explained(folder: Path, arguments: list[str], code: int, message: str) -> None:
    (folder / "latin1.txt").write_bytes("gut\nStraße\n".encode("latin-1"))
    (folder / "empty.txt").write_bytes(b"\n \n")
    done = zeile_command(folder, "lm", "train", *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert message in done.complaint
    assert (folder / "a.txt").read_text("utf-8") == TEXT
    assert not (folder / "x.arpa").exists()


def test_progress_on_a_terminal(folder: Path) -> None:
    answer, shown = on_a_terminal(folder, "lm", "train", "a.txt", "-o", "x.arpa")
    assert answer.startswith(b"x.arpa: written")
    for stage in (b"reading", b"counting", b"smoothing", b"writing"):
        assert stage in shown

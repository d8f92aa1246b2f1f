# SPDX-License-Identifier: Apache-2.0
"""Language models against direct computations and KenLM; training; files that are not what they should be."""

from __future__ import annotations

import gzip
import math
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeile.errors import BadData, BadSettings
from zeile.fixed_log import UNIT
from zeile.language_model import LanguageModel, load_language_model, quantised, train_language_model

# Pruned so that "abc" is there without "bc": its history is shortened to "c" at once.
SMALL = """\\data\\
ngram 1=7
ngram 2=4
ngram 3=2

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.9\t</s>
-0.5\ta\t-0.3
-0.8\tb\t-0.2
-1.1\tc\t0.1
-0.7\t<space>\t-0.6

\\2-grams:
-0.2\t<s> a\t-0.25
-0.4\ta b\t-0.15
-0.6\tb <space>
-0.3\tc </s>

\\3-grams:
-0.1\t<s> a b
-0.05\ta b c

\\end\\
"""
WORDS = "der die und Haus hat ein kleines Buch Straße über Wörter lesen lang fünf".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lm")


@pytest.fixture(scope="module")
def small(folder: Path) -> LanguageModel:
    return load(folder, SMALL)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    choices = random.Random(1)
    return [" ".join(choices.choices(WORDS, k=6)) for _ in range(120)]


def load(folder: Path, content: str, name: str = "model.arpa") -> LanguageModel:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return load_language_model(path)


def tokens(text: str, known: set[str]) -> list[str]:
    names = ["<space>" if c == " " else c for c in text]
    return [name if name in known else "<unk>" for name in names]


def direct(content: str, text: str) -> float:
    """log10 of a line's probability, as the format defines it: the longest n-gram, else back-off times the rest."""
    logs, backoffs = {}, {}
    for line in content.splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            ngram = tuple(fields[1].split(" "))
            logs[ngram] = float(fields[0])
            backoffs[ngram] = float(fields[2]) if len(fields) > 2 else 0.0
    longest = max(map(len, logs))

    def log(history: tuple[str, ...], token: str) -> float:
        ngram = (*history, token)
        if ngram in logs:
            return logs[ngram]
        return backoffs.get(history, 0.0) + log(history[1:], token)

    marked = ["<s>", *tokens(text, {t for (t, *rest) in logs if not rest}), "</s>"]
    return sum(log(tuple(marked[max(0, i - longest + 1) : i]), marked[i]) for i in range(1, len(marked)))


@settings(deadline=None)
@given(st.text("abc x", max_size=12))
def test_score_is_the_direct_computation(small: LanguageModel, text: str) -> None:
    additions = 3 * (len(text) + 1)  # each n-gram and back-off is rounded by half a unit
    assert small.score(text) == pytest.approx(direct(SMALL, text) * math.log(10) * UNIT, abs=additions)


def test_logarithms_are_quantised_once() -> None:
    values = np.array([0.0, -1.0, -0.30103, 0.25, -100, -500])
    assert quantised(values).tolist() == [0, -150902, -45426, 37726, -15090222, -15090222]


def test_fields_may_be_parted_by_spaces(folder: Path, small: LanguageModel) -> None:
    spaced = load(folder, SMALL.replace("\t", " "), "spaced.arpa")
    assert spaced.score("abc ab") == small.score("abc ab")


def test_a_gzipped_file_is_the_same_model(folder: Path, small: LanguageModel) -> None:
    path = folder / "model.arpa.gz"
    path.write_bytes(gzip.compress(SMALL.encode()))
    assert load_language_model(path).score("abc ab") == small.score("abc ab")


def test_space_may_be_the_lower_block(folder: Path, small: LanguageModel) -> None:
    assert load(folder, SMALL.replace("<space>", "\u2581"), "block.arpa").score("b a") == small.score("b a")


def test_without_unk_the_unknown_is_as_likely_as_the_least_likely(folder: Path) -> None:
    content = SMALL.replace("ngram 1=7", "ngram 1=6").replace("-1.2\t<unk>\n", "")
    model = load(folder, content, "no-unk.arpa")
    assert model.step(0, model.spell("x")[0])[0] == quantised(np.array([-1.1]))[0]


def test_without_line_ends_lines_begin_and_end_anywhere(folder: Path) -> None:
    content = "\\data\\\nngram 1=2\n\\1-grams:\n-0.5\ta\n-0.2\tb\n\\end\\\n"
    model = load(folder, content, "bare.arpa")
    assert (model.start, model.end) == (0, -1)
    assert model.score("ab") == quantised(np.array([-0.5, -0.2])).sum()


def test_a_character_is_a_token_or_its_code_points(folder: Path) -> None:
    accent = "\u0301"
    model = load(folder, SMALL.replace("\tc", "\tx" + accent).replace("b c", "b x" + accent), "accent.arpa")
    assert model.spell("x" + accent) == (model.symbols["x" + accent],)
    unknown = model.symbols["<unk>"]
    assert model.spell("a" + accent) == (model.symbols["a"], unknown)
    assert model.spell(" ") == (model.symbols["<space>"],)
    assert model.spell("q") == (unknown,)
    assert model.spell("") == ()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("minimum", [1, 4])
def test_probabilities_sum_to_one_after_every_history(folder: Path, texts: list[str], order: int, minimum: int) -> None:
    path = folder / "trained.arpa"
    train_language_model([*texts, "Quitte xyz"], order, path, minimum=minimum)
    model = load_language_model(path)
    symbols = [symbol for token, symbol in model.symbols.items() if token != "<s>"]
    for state in range(len(model.backoff_log)):
        total = sum(math.exp(model.step(state, symbol)[0] / UNIT) for symbol in symbols)
        assert total == pytest.approx(1, abs=1e-4)


def kneser_ney(lines: list[str], order: int, history: str, symbol: str) -> float:
    """Chen and Goodman's formula, counted from scratch; discounts of small texts."""
    marked = ["^" + line + "$" for line in lines]
    symbols = set("".join(marked)) - {"^"}

    def count(n: int) -> dict[str, int]:
        every = Counter(line[i : i + n] for line in marked for i in range(len(line) - n + 1))
        before: defaultdict[str, set[str]] = defaultdict(set)
        for line in marked:
            for i in range(len(line) - n):
                before[line[i + 1 : i + 1 + n]].add(line[i])
        return {g: every[g] if n == order or g[0] == "^" else len(before[g]) for g in every if g != "^"}

    def probability(history: str) -> float:
        followers = {g: c for g, c in count(len(history) + 1).items() if g[:-1] == history}
        shorter = probability(history[1:]) if history else 1 / (len(symbols) + 1)
        if not followers:
            return shorter
        total = sum(followers.values())
        discounts = {g: (0.5, 1.0, 1.5)[min(c, 3) - 1] for g, c in followers.items()}
        own = followers.get(history + symbol, 0) - discounts.get(history + symbol, 0)
        return (own + sum(discounts.values()) * shorter) / total

    return probability(history)


def test_training_is_modified_kneser_ney(folder: Path) -> None:
    lines = ["ab ac", "abba", "ab", "c"]
    path = folder / "tiny.arpa"
    train_language_model(lines, 3, path)
    model = load_language_model(path)
    for text in ["^ab", "^ba", "b", "^c$", "abb", "ba$", " ac", "cab"]:
        state = model.start if text[0] == "^" else 0
        for c in text.strip("^$"):
            state = model.step(state, model.spell(c)[0])[1]
        history = text.rstrip("$")[-2:]
        for symbol in "abc $":
            log, _ = model.step(state, model.end if symbol == "$" else model.spell(symbol)[0])
            assert math.exp(log / UNIT) == pytest.approx(kneser_ney(lines, 3, history, symbol), abs=1e-4)


def test_discounts_are_estimated_from_counts_of_counts(folder: Path) -> None:
    path = folder / "unigrams.arpa"
    train_language_model(["abcd" + "ee" + "ff" + "ggg" + "h"], 1, path)
    model = load_language_model(path)
    logs = {c: math.exp(model.step(0, model.spell(c)[0])[0] / UNIT) for c in "ae"}
    # a, b, c, d, h and the line's end: 6 once, 2 twice, 1 three times, none four times: the discounts of small texts.
    even = (6 * 0.5 + 2 * 1.0 + 1.5) / 13 / 10
    assert logs == pytest.approx({"a": 0.5 / 13 + even, "e": 1 / 13 + even}, abs=1e-5)
    train_language_model(["abcd" + "ee" + "ff" + "ggg" + "hhhh"], 1, path)
    model = load_language_model(path)
    y = 5 / (5 + 2 * 2)
    d = (1 - 2 * y * 2 / 5, 2 - 3 * y * 1 / 2, 3 - 4 * y * 1 / 1)
    even = (5 * d[0] + 2 * d[1] + 2 * d[2]) / 16 / 10
    logs = {c: math.exp(model.step(0, model.spell(c)[0])[0] / UNIT) for c in "aegh"}
    exact = {c: (n - d[min(n, 3) - 1]) / 16 + even for c, n in {"a": 1, "e": 2, "g": 3, "h": 4}.items()}
    assert logs == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("minimum", [1, 3])
def test_kenlm_reads_the_same(folder: Path, texts: list[str], order: int, minimum: int) -> None:
    kenlm = pytest.importorskip("kenlm", reason="kenlm, the oracle, is not installed")
    path = folder / f"kenlm{order}{minimum}.arpa"
    train_language_model(texts, order, path, minimum=minimum)
    ours, theirs = load_language_model(path), kenlm.Model(str(path))
    for text in [*texts[:20], "Xylophon q", "der dßa Bu", "zzz", ""]:
        spaced = " ".join("<space>" if c == " " else c for c in text)
        log = theirs.score(spaced, bos=True, eos=True) * math.log(10)
        assert ours.score(text) / UNIT == pytest.approx(log, abs=1e-3)


def test_training_learns_the_texts(folder: Path, texts: list[str]) -> None:
    path = folder / "learnt.arpa.gz"
    train_language_model(texts, 5, path)
    model = load_language_model(path)
    assert model.order == 5
    assert model.score("das kleine Haus") > model.score("dss k1eine Hsua")
    first = path.read_bytes()
    train_language_model(texts, 5, path)
    assert path.read_bytes() == first


def test_training_normalises_texts(folder: Path) -> None:
    paths = folder / "a.arpa", folder / "b.arpa"
    train_language_model(["ü  b\n", "", "\ta"], 3, paths[0])
    train_language_model(["u\u0308\u00a0b", "a "], 3, paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_rare_ngrams_can_be_left_out(folder: Path, texts: list[str]) -> None:
    sizes = []
    for minimum in (1, 2, 5):
        train_language_model(texts, 6, folder / "pruned.arpa", minimum=minimum)
        sizes.append(len(load_language_model(folder / "pruned.arpa").log))
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(("order", "minimum"), [(0, 1), (21, 1), (3, 0)])
def test_training_refuses_what_makes_no_sense(folder: Path, order: int, minimum: int) -> None:
    with pytest.raises(BadSettings, match="order"):
        train_language_model(["a"], order, folder / "x.arpa", minimum=minimum)


def test_training_needs_text_and_a_place(folder: Path) -> None:
    with pytest.raises(BadData, match="no characters"):
        train_language_model(["", " \n"], 3, folder / "x.arpa")
    with pytest.raises(BadData, match="cannot be written"):
        train_language_model(["a"], 3, folder / "missing" / "x.arpa")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", "not an ARPA file"),
        ("ngram 2=4", "ngram 3=4", "line 3"),
        ("ngram 2=4", "ngram 2=5", "line 21.*is not a logarithm"),
        ("ngram 2=4", "ngram 2=3", "line 19.*3-grams"),
        ("-0.4\ta b\t-0.15", "-0.4\ta\t-0.15", "line 17.*2 tokens"),
        ("-0.4\ta b\t-0.15", "0.4\ta b\t-0.15", "not a logarithm"),
        ("-0.4\ta b\t-0.15", "-0.4\ta b\t-0.15\t1", "at most one back-off"),
        ("-0.4\ta b\t-0.15", "-0.4\ta b\tnan", "at most one back-off"),
        ("-0.4\ta b\t-0.15", "-0.4\ta d\t-0.15", "'d' is not among the 1-grams"),
        ("\\end\\", "", "end of the file"),
    ],
)
def test_a_damaged_file_is_refused_with_its_place(folder: Path, old: str, new: str, message: str) -> None:
    assert SMALL.count(old) == 1
    with pytest.raises(BadData, match=message):
        load(folder, SMALL.replace(old, new), "damaged.arpa")


def test_a_file_that_cannot_be_read_is_refused(folder: Path) -> None:
    with pytest.raises(BadData, match=r"cannot be read.*ARPA"):
        load_language_model(folder / "nowhere.arpa")
    packed = gzip.compress(SMALL.encode())
    for name, content in {"cut.gz": packed[:-20], "latin.arpa": SMALL.replace("b", "ü").encode("latin-1")}.items():
        (folder / name).write_bytes(content)
        with pytest.raises(BadData, match="cannot be read"):
            load_language_model(folder / name)
    (folder / "book.txt").write_text("It was a dark and stormy night.\n" * 1000)
    with pytest.raises(BadData, match="not an ARPA file"):
        load_language_model(folder / "book.txt")

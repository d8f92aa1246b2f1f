# SPDX-License-Identifier: Apache-2.0
"""Synthetic lines: real texts in real fonts, printed and scanned badly.

The text of a line is exactly what is drawn, typographic quotes and dashes included; a line is only drawn in
a font that covers every character of it. Rare characters are sown so that each is seen often enough to be
learned.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from zeile.errors import BadData
from zeile.train.fonts import Font, find_fonts
from zeile.train.pool import Grey, degrade
from zeile.train.texts import long_s, paragraphs

Ink = npt.NDArray[np.float32]

_KINDS = {"serif": 0.76, "sans": 0.15, "mono": 0.09}
_STYLES = {"r": 0.68, "i": 0.17, "b": 0.11, "bi": 0.04}
_SPICE = {  # a, b, c: numbers up to 99, 12, 2030; d: two digits
    "en": "£{a}|£ {a} {b}s. {b}d.|pp. {a}–{c}|No. {a},|§ {a}|${a}.{d}|[{a}]|({b})|{a}%|&|{b}½|{b}¾",
    "de": "{a} Mk.|§. {a}.|S. {a}–{c}|Nr. {a}|fl. {a}.|{b}½|d. {b}. Mai 18{d}|u. s. w.|({b})|{a}°|&",
    "fr": "N° {a}|{a} fr. {d}|frs. {a}.{d}|{b}ᵉ|Mᵐᵉ|p. {a}-{c}|{b}°|({b})|— {a} —|{d} ½|18{d}|art. {a}|&"
    "|— {b}-{b}-19{d} —|{b}-{b}-{d} — {a}-{b}-{d}|{b}-{b}-19{d}|(Sté anᵐᵉ)|Sté Anᵐᵉ|*|{b}.{c}.|l'{a}|d'{d}|L'"
    "|{b}.{c}.|{a}.{c}. {b}.{c}.|C{d}|{b}-{b}-{d}.|Rᵉ|Mᵉ|— {b}-{b}-{d} —|*"
    "|(Sté Anᵐᵉ des|Sté Anᵐᵉ).|Sté anᵐᵉ|Cie Anᵐᵉ|la Mᵐᵉ|Anᵐᵉ|Sté Anᵐᵉ des|{b}ᵉ et {a}ᵉ",
}
_SPICE_ANYWHERE = "{a}|{c}|18{d}|{a},{c}|{b}.|*|†|—|[{a}]|{a}/{b}"
_QUOTES = {"en": [("“", "”")], "de": [("„", "“"), ("„", "“"), ("»", "«")], "fr": [("«", "»")]}

_RARE_PER_MILLE = 4.0
"""Lines in a thousand that a character of the alphabet shall occur in."""

_ILLEGIBLE = 0.68
"""Likeness to the clean line below which a degraded one is thrown away."""

_BASELINE, _CANVAS = 1.5, 2.25  # rows above the baseline, and all rows, in font sizes

_RAISED = dict(zip("ᵉᵐ", "em", strict=True))
"""Superscript letters that few fonts have; printers set the plain letter smaller and higher, and so do we."""


class Texts:
    """Line texts in the manner of printed books.

    Args:
        languages: language to share of the lines.
        characters: the alphabet; other characters are left out.
        rng: source of all choices.
        cache: folder for extracted texts.
        fraktur: write the long s, and only the quotes „ “.
    """

    def __init__(
        self, languages: dict[str, float], characters: str, rng: random.Random, cache: Path, fraktur: bool
    ) -> None:
        self.languages, self.known, self.rng, self.fraktur = languages, frozenset(characters), rng, fraktur
        self.paragraphs = {language: paragraphs(language, cache) for language in languages}
        # Paragraphs are drawn by length: most of the short ones are headings and entries of dictionaries.
        self._ends = {k: list(itertools.accumulate(map(len, v))) for k, v in self.paragraphs.items()}
        self.rare: dict[str, float] = {}  # character to the lines in a thousand that it lacks
        counts = Counter(c for _ in range(1500) for c in set(self.line()))
        lacks = {c: _RARE_PER_MILLE - counts[c] / 1.5 for c in sorted(self.known - {" "})}
        self.rare = {c: lack for c, lack in lacks.items() if lack > 0}

    def line(self) -> str:
        """A text of 1 to about 90 characters."""
        r = self.rng
        while True:
            language = r.choices(list(self.languages), list(self.languages.values()))[0]
            text = self._cut(r.choices(self.paragraphs[language], cum_weights=self._ends[language])[0])
            text = self._dress(text, language)
            text = self._spice(long_s(text) if self.fraktur else text, language)
            text = " ".join("".join(c for c in text if c in self.known).split())
            if len(text) >= 2 or text.isdigit():
                return text

    def _cut(self, paragraph: str) -> str:
        r = self.rng
        length = r.randint(2, 20) if r.random() < 0.1 else int(min(90, max(8, r.gauss(50, 15))))
        start = r.randint(0, max(0, len(paragraph) - length))
        if start:
            start = paragraph.find(" ", start) + 1 or 0
        text = paragraph[start : start + length]
        broken = start + length < len(paragraph) and paragraph[start + length] != " " and " " in text
        if broken:
            if r.random() < 0.3 and text[-2:].isalpha():
                return text + "-"
            return text[: text.rfind(" ")]
        return text

    def _dress(self, text: str, language: str) -> str:
        """Capitals and typographic signs."""
        r, u = self.rng, self.rng.random()
        opening, closing = r.choice(_QUOTES[language])
        if u < 0.035 and not self.fraktur:
            text = text.upper()
        elif u < 0.06:
            text = text.title()
        if r.random() < 0.6 or self.fraktur:
            text = re.sub(r"(^|(?<=[ (\[—]))[\"“„»«](?=\w)", opening, text)
            text = re.sub(r"(?<=\S)[\"”“«](?!\w)" if language == "de" else r"[\"”]", closing, text)
            if not self.fraktur:
                text = re.sub(r"(^|(?<=[ (\[—“]))'(?=\w)", "‘", text).replace("'", "’")
            text = re.sub(r" --? |(?<=\S)--(?=\S)", r.choice((" — ", "—", " – ")), text)
            if language == "fr":
                text = re.sub(r"« ?", r.choice(("« ", "«")), text)
                text = re.sub(r" ?»", r.choice((" »", "»")), text)
        if r.random() < 0.06:
            words = text.split(" ")
            k = r.randrange(len(words))
            if words[k].isalpha():
                words[k] = opening + words[k] + closing
            text = " ".join(words)
        return text.replace("–", "—") if self.fraktur else text

    def _spice(self, text: str, language: str) -> str:
        """Numbers, prices, notes; letter-spacing; leaders; page numbers; rare characters."""
        r = self.rng
        if r.random() < 0.015:
            return str(r.randint(1, 999))
        words = text.split(" ")
        k = r.randrange(len(words))
        if r.random() < (0.3 if language == "fr" else 0.14):  # French real lines are few, and of catalogues
            entry = r.choice(f"{_SPICE[language]}|{_SPICE_ANYWHERE}".split("|"))
            d = f"{r.randint(0, 99):02d}"
            words.insert(k, entry.format(a=r.randint(1, 99), b=r.randint(1, 12), c=r.randint(100, 2030), d=d))
        if language == "fr" and r.random() < 0.03:  # entries of a catalogue
            words[0] = "*" + words[0]
        if r.random() < 0.02:
            words[k] = " ".join(words[k])
        if r.random() < 0.02 and len(words) > 2:
            words = [*words[:1], ". " * r.randint(2, 8), *words[-1:]]
        if r.random() < sum(self.rare.values()) / 1500:  # one and a half a line
            for _ in range(r.choice((1, 2))):
                k = r.randrange(len(words))
                words[k] = self._sow(words[k])
        return " ".join(words)

    def _sow(self, word: str) -> str:
        """Put a rare character into a word where its like stands, or beside it."""
        r = self.rng
        rare = r.choices(list(self.rare), list(self.rare.values()))[0]
        if rare.isupper():
            return rare + word[1:]
        if rare.islower():
            k = r.randint(0, len(word))
            return word[:k] + rare + word[k + r.choice((0, 1)) :]
        return r.choice((rare, word + rare, rare + word, f"{word} {rare}", f"{r.randint(1, 20)}{rare}"))


class Synthesiser:
    """Draws and degrades lines.

    Args:
        languages: language ("en", "de", "fr") to its share.
        characters: the alphabet of the model.
        seed: all lines follow from it.
        cache: folder for texts and the list of fonts.
        fraktur: draw in blackletter fonts, with the long s.
        fonts: font files beside the installed ones.

    Raises:
        BadData: no texts or fonts are installed, or a font file cannot be used.
    """

    def __init__(
        self,
        languages: dict[str, float],
        characters: str,
        seed: int,
        cache: Path,
        fraktur: bool = False,
        fonts: Sequence[Path] = (),
    ) -> None:
        self.rng = random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.texts = Texts(languages, characters, self.rng, cache, fraktur)
        self.fraktur = fraktur
        self.families: dict[str, dict[str, list[Font]]] = {}
        for font in find_fonts(characters, cache, fonts):
            self.families.setdefault(font.kind, {}).setdefault(font.family, []).append(font)
        if fraktur and "fraktur" not in self.families:
            raise BadData("no Fraktur font is installed; on Debian: apt install fonts-blankenburg fonts-gamaliel")
        self._loaded: dict[tuple[str, int, ImageFont.Layout], ImageFont.FreeTypeFont] = {}

    def line(self) -> tuple[Grey, str]:
        """One line: (h, w) uint8 dark on light, and its text."""
        while True:
            text = self.texts.line()
            font = self._font(text)
            if font is None:
                continue
            size = self.rng.randint(24, 64)
            clean = self._warp(self._draw(text, font, size), size)
            ink = self._print(clean, size)
            box = self._box(ink, size)
            if box is None:
                continue
            grey = degrade(self._scan(ink[box]), self.rng)
            if _likeness(clean[box], grey) >= _ILLEGIBLE:
                return grey, text

    def _font(self, text: str) -> Font | None:
        """A font that covers the text, None if a few tries found none."""
        r, wanted = self.rng, frozenset(_RAISED.get(c, c) for c in text) - {" "}
        for _ in range(8):
            kind = "fraktur" if self.fraktur else r.choices(list(_KINDS), list(_KINDS.values()))[0]
            families = self.families.get(kind)
            if not families:
                continue
            fonts = families[r.choice(sorted(families))]
            font = r.choices(fonts, [_STYLES[f.style] for f in fonts])[0]
            if wanted <= font.covers:
                return font
        return None

    def _face(self, font: Font, size: int, layout: ImageFont.Layout) -> ImageFont.FreeTypeFont:
        key = (font.path, size, layout)
        if key not in self._loaded:
            if len(self._loaded) > 1500:
                self._loaded.clear()
            self._loaded[key] = ImageFont.truetype(font.path, size, layout_engine=layout)
        return self._loaded[key]

    def _draw(self, text: str, font: Font, size: int) -> Grey:
        """Ink of a line on a canvas with slack: set as a whole, by words, or glyph by glyph."""
        r, pad = self.rng, size
        small = max(10, int(size * r.uniform(0.55, 0.7)))
        raised = (self._face(font, small, ImageFont.Layout.BASIC), size * r.uniform(0.25, 0.4))
        # Raqm sets the font's ligatures (fi, ch), as old printers did, where Pillow has it.
        ligatures = r.random() < 0.5 and features.check("raqm")
        face = self._face(font, size, ImageFont.Layout.RAQM if ligatures else ImageFont.Layout.BASIC)
        u = r.random()
        if u < 0.45:
            pieces, gaps, wobble = [text], [0.0], 0.0
        elif u < 0.8:
            pieces = text.split(" ")
            space = face.getlength(" ") * r.uniform(0.75, 3.2 if r.random() < 0.25 else 1.9)  # narrow measures
            gaps, wobble = [space * r.uniform(0.85, 1.2) for _ in pieces], 0.02
        else:
            tracking = size * r.uniform(-0.02, 0.12)
            pieces, gaps, wobble = list(text), [tracking] * len(text), r.uniform(0.0, 0.035)
        places, x = [], float(pad)
        for piece, gap in zip(pieces, gaps, strict=True):
            places.append(x)
            x += sum((raised[0] if up else face).getlength(run) for run, up in _runs(piece)) + gap
        image = Image.new("L", (int(x) + pad, int(_CANVAS * size)), 0)
        draw = ImageDraw.Draw(image)
        faint = r.randint(150, 240)
        for piece, at in zip(pieces, places, strict=True):
            if piece.strip():
                dx, dy = r.gauss(0, wobble * 0.4 * size), r.gauss(0, wobble * size)
                fill, x, y = r.randint(faint, 255), at + dx, _BASELINE * size + dy
                for run, up in _runs(piece):
                    used, rise = raised if up else (face, 0)
                    draw.text((x, y - rise), run, fill=fill, font=used, anchor="ls")
                    x += used.getlength(run)
        return np.asarray(image)

    def _print(self, a: Ink, size: int) -> Ink:
        """The press: spread or starve the ink, uneven ink, bleed-through, neighbours' remnants."""
        r = self.rng
        u = r.random()
        if u < 0.28:
            a = cv2.dilate(a, np.ones((2, 2) if size < 44 else (3, 3), np.uint8))
        elif u < 0.42:
            thin = cv2.erode(a, np.ones((2, 2), np.uint8))
            if thin.sum() > 0.55 * a.sum():  # hairlines would be gone
                a = thin
        h, w = a.shape
        if r.random() < 0.3:
            cells = (max(2, h // 6), max(2, w // 6))
            patches = self.noise.uniform(r.uniform(0.2, 0.8), 1.1, cells).astype(np.float32)
            a = a * np.minimum(cv2.resize(patches, (w, h)), 1)
        sigma = r.choice((0, 0.5, 0.8, 1.2, 1.8)) * size / 44 * r.uniform(0.6, 1.1)
        if sigma > 0.2:
            a = cv2.GaussianBlur(a, (0, 0), sigma)
        if r.random() < 0.2:
            back = cv2.GaussianBlur(a[:, ::-1], (0, 0), 1.5 * size / 44)
            back = np.roll(back, (r.randint(-size // 2, size // 2), r.randint(0, w)), (0, 1))
            a = np.maximum(a, back * r.uniform(0.05, 0.3))
        sheet = a
        for side in r.choice(((1,), (-1,), (1, -1))) if r.random() < 0.28 else ():
            shift = int(size * r.uniform(1.0, 1.35)) * side
            other = np.roll(np.roll(a, r.randint(size, max(size + 1, w)), 1), shift, 0)
            other[slice(None, shift) if shift > 0 else slice(shift, None)] = 0
            sheet = np.maximum(sheet, other)
        return sheet

    def _warp(self, drawn: Grey, size: int) -> Ink:
        """Skew, slant, waves of the baseline and of the width, and an elastic sheet."""
        a: Ink = np.divide(drawn, 255, dtype=np.float32)
        r, h, w = self.rng, *a.shape
        if r.random() >= 0.8:
            return a
        across, down = np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)
        rise = across * math.tan(math.radians(r.gauss(0, 0.5)))  # (w,) px, as all of this
        knots = max(3, w // (4 * size) + 2)
        rise = rise + np.interp(across, np.linspace(0, w, knots), self.noise.normal(0, size * 0.035, knots))
        knots = max(3, w // size + 2)
        shift = np.interp(across, np.linspace(0, w, knots), self.noise.normal(0, size * 0.03, knots))
        slant = np.float32(r.gauss(0, 0.05)) * (down - np.float32(_BASELINE * size))
        x = (across + shift).astype(np.float32)[None] + slant[:, None]  # (h, w): where each pixel comes from
        y = down[:, None] + (rise - rise.mean()).astype(np.float32)[None]
        if r.random() < 0.35:
            strength = r.uniform(0.2, 1.1) * size / 40
            cells = self.noise.normal(0, strength, (max(2, h // 8), max(2, w // 8), 2)).astype(np.float32)
            elastic = cv2.resize(cells, (w, h), interpolation=cv2.INTER_LINEAR)
            x, y = x + elastic[..., 0], y + elastic[..., 1]
        return cv2.remap(a, x, y, cv2.INTER_LINEAR)

    def _box(self, ink: Ink, size: int) -> tuple[slice, slice] | None:
        """Where a segmenter would cut the line out, tight or with slack; None if nothing was printed."""
        r = self.rng
        above, below = (0.82, 1.0), (0.28, 0.4)
        if r.random() < 0.5:
            above, below = (1.0, 1.3), (0.35, 0.6)
        rows = slice(int(size * (_BASELINE - r.uniform(*above))), int(size * (_BASELINE + r.uniform(*below))))
        written = np.flatnonzero(ink[rows].max(0) > 0.35)
        if len(written) == 0:
            return None
        left = max(0, int(written[0]) - r.randint(0, size // 3))
        right = int(written[-1]) + r.randint(1, size // 3) + 1
        if r.random() < 0.08:  # into the last mark, but not through it
            gaps = np.flatnonzero(np.diff(written) > 1)
            mark = len(written) - (int(gaps[-1]) + 1 if len(gaps) else 0)
            right = int(written[-1]) + 1 - int(mark * r.uniform(0, 0.55))
        return rows, slice(left, min(ink.shape[1], right))

    def _scan(self, ink: Ink) -> Grey:
        """Ink on paper under uneven light, with specks, perhaps through a wavering threshold."""
        r, (h, w) = self.rng, ink.shape
        paper = r.uniform(0.65, 1.0)
        black = r.uniform(0, 0.35) * paper
        sheet = np.full((h, w), paper, np.float32)
        if r.random() < 0.5:
            light = self.noise.normal(0, 0.05, (max(2, h // 12), max(2, w // 24))).astype(np.float32)
            sheet += cv2.resize(light, (w, h), interpolation=cv2.INTER_CUBIC)
        image = sheet * (1 - ink) + np.float32(black) * ink
        if r.random() < 0.3:
            specks, share = self.noise.random((h, w), np.float32), r.uniform(0.0005, 0.006)
            image[specks < share], image[specks > 1 - share] = black, paper
        if r.random() < 0.35:
            level = black + (paper - black) * r.uniform(0.35, 0.7)
            image = np.where(image > level + self.noise.normal(0, r.choice((0, 0.05)), (1, w)), 1.0, 0.0)
        scanned: Grey = np.clip(image * 255, 0, 255).astype(np.uint8)
        return scanned


def _runs(piece: str) -> list[tuple[str, bool]]:
    """A piece of a line as runs of letters, each with whether it is set raised."""
    groups = itertools.groupby(piece, lambda c: c in _RAISED)
    return [("".join(_RAISED.get(c, c) for c in run), up) for up, run in groups]


def _likeness(clean: Ink, grey: Grey) -> float:
    """How much of a line is left after degradation: correlation of both, -1 ... 1.

    Seen at 16 px height, where small skews do not count, and without their local means, so that neither uneven
    light nor the mere place of the line on its paper does.

    Args:
        clean: (h, w) float32, ink 1 on paper 0.
        grey: (h', w') uint8, dark on light.
    """
    size = (max(8, clean.shape[1] * 16 // clean.shape[0]), 16)
    a, b = (
        cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32), (3, 3), 0)
        for image in (clean, grey)
    )
    a, b = a - cv2.blur(a, (15, 9)), cv2.blur(b, (15, 9)) - b
    scale = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else 0.0

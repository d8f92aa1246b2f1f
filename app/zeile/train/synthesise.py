# SPDX-License-Identifier: Apache-2.0
"""Synthetic lines: real texts in real fonts, printed and scanned badly.

The text of a line is exactly what is drawn, typographic quotes and dashes included; a line is only drawn in a font
that covers every character of it. Rare characters are sown so that each is seen often enough to be learned.
"""

from __future__ import annotations

import math
import random
import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from zeile.errors import BadData
from zeile.train.fonts import Font, find_fonts
from zeile.train.pool import Grey, degrade
from zeile.train.texts import paragraphs

_KINDS = (("serif", 0.76), ("sans", 0.15), ("mono", 0.09))
_STYLES = {"r": 0.68, "i": 0.17, "b": 0.11, "bi": 0.04}
_SPICE = {
    "en": ("£{a}", "£ {a} {b}s. {b}d.", "pp. {a}–{c}", "No. {a},", "§ {a}", "${a}.{d}", "[{a}]", "({b})", "{a}%", "&", "{b}½"),
    "de": ("{a} Mk.", "§. {a}.", "S. {a}–{c}", "Nr. {a}", "fl. {a}.", "{b}½", "d. {b}. Mai 18{d}", "u. s. w.", "({b})", "{a}°"),
    "fr": ("N° {a}", "{a} fr. {d}", "{b}ᵉ", "Mᵐᵉ", "p. {a}-{c}", "{a}°", "({b})", "— {a} —", "{d} ½", "18{d}", "art. {a}"),
}
_OPEN = {"en": "“‘", "de": "„‚", "fr": "«‘"}
_CLOSE = {"en": "”’", "de": "“‘", "fr": "»’"}


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
        self.rare = [c for c in characters if not re.match(r"[a-z ]", c)]

    def line(self) -> str:
        """A text of 2 to about 90 characters."""
        while True:
            language = self.rng.choices(list(self.languages), list(self.languages.values()))[0]
            text = self._cut(self.rng.choice(self.paragraphs[language]))
            text = self._dress(text, language)
            text = self._spice(text, language)
            text = "".join(c for c in _long_s(text) if c in self.known) if self.fraktur else text
            text = " ".join("".join(c for c in text if c in self.known).split())
            if len(text) >= 2:
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
        if u < 0.035 and not self.fraktur:
            text = text.upper()
        elif u < 0.06:
            text = text.title()
        if r.random() < 0.6 or self.fraktur:
            opening, closing = _OPEN[language], _CLOSE[language]
            text = re.sub(r"(^|(?<=[ (\[—]))[\"“„»«](?=\w)", opening[0], text)
            text = re.sub(r"[\"”]", closing[0], text)
            if not self.fraktur:
                text = re.sub(r"(^|(?<=[ (\[—“]))'(?=\w)", opening[1], text).replace("'", "’")
            text = re.sub(r" -{1,2} |--", r.choice((" — ", "—", " – ")), text)
            if language == "fr":
                text = re.sub(r"« ?", r.choice(("« ", "«")), text)
                text = re.sub(r" ?»", r.choice((" »", "»")), text)
        if r.random() < 0.06:
            words = text.split(" ")
            k = r.randrange(len(words))
            words[k] = _OPEN[language][0] + words[k] + _CLOSE[language][0]
            text = " ".join(words)
        return text.replace("–", "—") if self.fraktur else text

    def _spice(self, text: str, language: str) -> str:
        """Numbers, prices, notes; letter-spacing; characters that are rare in the texts."""
        r = self.rng
        words = text.split(" ")
        if r.random() < 0.14:
            entry = r.choice((*_SPICE[language], "{a}", "{c}", "18{d}", "{a},{c}", "{b}.", "*", "†", "— "))
            filled = entry.format(a=r.randint(1, 99), b=r.randint(1, 12), c=r.randint(100, 2030), d=f"{r.randint(0, 99):02d}")
            words.insert(r.randrange(len(words) + 1), filled)
        if r.random() < 0.10:
            k = r.randrange(len(words))
            sown = "".join(r.choices(self.rare, k=r.randint(1, 4)))
            words[k] = r.choice((sown, words[k] + sown[0], sown[0] + words[k]))
        if r.random() < 0.02:
            k = r.randrange(len(words))
            words[k] = " ".join(words[k])
        if r.random() < 0.02 and len(words) > 2:
            words = words[:1] + [". " * r.randint(2, 8)] + words[-1:]
        return " ".join(words)


def _long_s(text: str) -> str:
    """s is ſ unless it ends a word or a common first part of a compound."""
    text = re.sub(r"\b(Aus|aus|Dies|dies|Haus|haus|Eis|Gras|Los|los|Gas|dar|bis)(?=[bcdfghjklmnpqrtvwz])", r"\1", text)
    text = re.sub(r"(?<![Aa]u)(?<![Ll]o)s(?=[a-zäöüßſ])", "ſ", text)
    return re.sub(r"(?<=[Aa]u)s(?=[aeiouptſs])", "ſ", text)


class Synthesiser:
    """Draws and degrades lines.

    Args:
        languages: language ("en", "de", "fr") to its share.
        characters: the alphabet of the model.
        seed: all lines follow from it.
        cache: folder for texts and the list of fonts.
        fraktur: draw in blackletter fonts.
        fonts: font files to use beside the installed ones of the kind.

    Raises:
        BadData: no texts or fonts are installed.
    """

    def __init__(
        self, languages: dict[str, float], characters: str, seed: int, cache: Path, fraktur: bool = False
    ) -> None:
        self.rng = random.Random(seed)
        self.noise = np.random.default_rng(seed)
        self.texts = Texts(languages, characters, self.rng, cache, fraktur)
        self.fraktur = fraktur
        self.families: dict[str, dict[str, list[Font]]] = {}
        for font in find_fonts(characters, cache):
            self.families.setdefault(font.kind, {}).setdefault(font.family, []).append(font)
        if fraktur and "fraktur" not in self.families:
            raise BadData("no Fraktur font is installed; on Debian: apt install fonts-blankenburg fonts-gamaliel")
        self._loaded: dict[tuple[str, int], ImageFont.FreeTypeFont] = {}

    def line(self) -> tuple[Grey, str]:
        """One line: (h, w) uint8 dark on light, and its text."""
        while True:
            text = self.texts.line()
            font = self._font(text)
            if font is None:
                continue
            size = self.rng.randint(26, 60)
            ink = self._print(self._draw(text, font, size), size)
            grey = self._cut_out(ink, size)
            if grey is not None:
                return grey, text

    def _font(self, text: str) -> Font | None:
        """A font that covers the text, None if a few tries found none."""
        r, wanted = self.rng, frozenset(text) - {" "}
        for _ in range(8):
            kinds, shares = zip(*_KINDS, strict=True)
            kind = "fraktur" if self.fraktur else r.choices(kinds, shares)[0]
            families = self.families.get(kind)
            if not families:
                continue
            fonts = families[r.choice(sorted(families))]
            font = r.choices(fonts, [_STYLES[f.style] for f in fonts])[0]
            if wanted <= font.covers:
                return font
        return None

    def _face(self, font: Font, size: int) -> ImageFont.FreeTypeFont:
        key = (font.path, size)
        if key not in self._loaded:
            if len(self._loaded) > 1500:
                self._loaded.clear()
            self._loaded[key] = ImageFont.truetype(font.path, size, layout_engine=ImageFont.Layout.BASIC)
        return self._loaded[key]

    def _draw(self, text: str, font: Font, size: int) -> Grey:
        """Ink of a line, baseline at 2/3 of 3 * size rows: set as a whole, by words, or glyph by glyph."""
        r, face, pad = self.rng, self._face(font, size), size
        u = r.random()
        if u < 0.45:
            pieces, gaps, wobble = [text], [0.0], 0.0
        elif u < 0.8:
            pieces = text.split(" ")
            space = face.getlength(" ") * r.uniform(0.75, 1.9)
            gaps, wobble = [space * r.uniform(0.85, 1.2) for _ in pieces], 0.02
        else:
            tracking = size * r.uniform(-0.02, 0.12)
            pieces, gaps, wobble = list(text), [tracking] * len(text), r.uniform(0.0, 0.035)
        places, x = [], float(pad)
        for piece, gap in zip(pieces, gaps, strict=True):
            places.append(x)
            x += face.getlength(piece) + gap
        image = Image.new("L", (int(x) + pad, 3 * size), 0)
        draw = ImageDraw.Draw(image)
        faint = r.randint(150, 240)
        for piece, at in zip(pieces, places, strict=True):
            if piece.strip():
                dx, dy = r.gauss(0, wobble * 0.4 * size), r.gauss(0, wobble * size)
                draw.text((at + dx, 2 * size + dy), piece, fill=r.randint(faint, 255), font=face, anchor="ls")
        return np.asarray(image)

    def _print(self, ink: Grey, size: int) -> npt.NDArray[np.float32]:
        """The press: warp, spread or starve the ink, uneven ink, bleed-through, neighbours' remnants."""
        r = self.rng
        a = self._warp(ink.astype(np.float32) / 255, size)
        u = r.random()
        if u < 0.28:
            a = cv2.dilate(a, np.ones((2, 2) if size < 44 else (3, 3), np.uint8))
        elif u < 0.42:
            a = cv2.erode(a, np.ones((2, 2), np.uint8))
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
        if r.random() < 0.35:
            shift = int(size * r.uniform(1.0, 1.35)) * r.choice((1, -1))
            other = np.roll(np.roll(a, r.randint(size, max(size + 1, w)), 1), shift, 0)
            other[slice(None, shift) if shift > 0 else slice(shift, None)] = 0
            a = np.maximum(a, other)
        return a

    def _warp(self, a: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
        r, h, w = self.rng, *a.shape
        if r.random() >= 0.8:
            return a
        across, down = np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32)
        rise = across * math.tan(math.radians(r.gauss(0, 0.5)))
        knots = max(3, w // (4 * size) + 2)
        rise = rise + np.interp(across, np.linspace(0, w, knots), self.noise.normal(0, size * 0.035, knots))
        knots = max(3, w // size + 2)
        shift = np.interp(across, np.linspace(0, w, knots), self.noise.normal(0, size * 0.03, knots))
        x = across[None] + shift[None] + r.gauss(0, 0.05) * (down[:, None] - 2 * size)
        y = down[:, None] + (rise - rise.mean())[None]
        if r.random() < 0.35:
            strength = r.uniform(0.2, 1.1) * size / 40
            cells = self.noise.normal(0, strength, (max(2, h // 8), max(2, w // 8), 2)).astype(np.float32)
            elastic = cv2.resize(cells, (w, h), interpolation=cv2.INTER_LINEAR)
            x, y = x + elastic[..., 0], y + elastic[..., 1]
        return cv2.remap(a, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)

    def _cut_out(self, ink: npt.NDArray[np.float32], size: int) -> Grey | None:
        """The line's box, tight or with slack, on paper, scanned; None if nothing was printed."""
        r = self.rng
        if r.random() < 0.5:
            top, bottom = int(2 * size - size * r.uniform(0.82, 1.0)), int(2 * size + size * r.uniform(0.28, 0.4))
        else:
            top, bottom = int(2 * size - size * r.uniform(1.0, 1.3)), int(2 * size + size * r.uniform(0.35, 0.6))
        written = np.flatnonzero(ink[top:bottom].max(0) > 0.35)
        if len(written) == 0:
            return None
        left = max(0, int(written[0]) - r.randint(0, size // 3))
        right = min(ink.shape[1], int(written[-1]) + r.randint(1, size // 3) + 1)
        a = ink[top:bottom, left:right]
        h, w = a.shape
        paper = r.uniform(0.65, 1.0)
        black = r.uniform(0, 0.35) * paper
        sheet = np.full((h, w), paper, np.float32)
        if r.random() < 0.5:
            light = self.noise.normal(0, 0.05, (max(2, h // 12), max(2, w // 24))).astype(np.float32)
            sheet += cv2.resize(light, (w, h), interpolation=cv2.INTER_CUBIC)
        image = sheet * (1 - a) + black * a
        if r.random() < 0.3:
            specks, share = self.noise.random((h, w), np.float32), r.uniform(0.0005, 0.006)
            image[specks < share], image[specks > 1 - share] = black, paper
        if r.random() < 0.35:  # a threshold that wavers along the line
            level = black + (paper - black) * r.uniform(0.35, 0.7) + self.noise.normal(0, r.choice((0, 0.05)), (1, w))
            image = np.where(image > level, 1.0, 0.0)
        return degrade(np.clip(image * 255, 0, 255).astype(np.uint8), r)

# SPDX-License-Identifier: Apache-2.0
"""Installed fonts that can draw book text, with the characters that each one covers."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError
from PIL import ImageFont

from zeile.errors import BadData

PACKAGES = (
    "fontconfig fonts-junicode fonts-elstob fonts-cardo fonts-essays1743 fonts-goudybookletter "
    "fonts-oldstandard fonts-gfs-didot fonts-gfs-artemisia fonts-adf-accanthis fonts-adf-baskervald "
    "fonts-adf-romande fonts-adf-gillius fonts-adf-universalis fonts-century-catalogue fonts-fanwood "
    "fonts-lindenhill fonts-cmu fonts-lmodern fonts-texgyre fonts-urw-base35 fonts-gnutypewriter "
    "fonts-courier-prime fonts-blankenburg fonts-gamaliel fonts-liberation fonts-dejavu-core fonts-dejavu-extra "
    "fonts-crosextra-caladea fonts-crosextra-carlito fonts-linuxlibertine fonts-sil-gentium fonts-sil-charis "
    "fonts-ebgaramond fonts-noto-core fonts-lato fonts-quattrocento fonts-freefont-ttf fonts-sil-doulos "
    "fonts-open-sans"
).split()
"""Debian packages of the fonts."""

_UNFIT = re.compile(  # no book text: capitals, signs, displays, scripts; Uralic draws Cyrillic for ü and é
    r"SC$|All ?SC|Caps|Math|Symbol|Emoji|Keyboard|Junkyard|Penguin|Cupola|Abogado|Script|Chorus|D050|Dunhill|"
    r"Unslanted|Quotation|Style Std|Isabella|Oldania|Upright Italic|Z003|Uralic|Chancery|Initials|Museum|Dingbats|"
    r"Music|Noto (Sans|Serif) (?!Display$)\S",
    re.IGNORECASE,
)
_UNFIT_STYLE = re.compile(r"Black|Thin|Hairline|ExtraLight|UltraLight|Heavy|Ornament|Swash|Condensed", re.IGNORECASE)
_FRAKTUR = re.compile(r"Blankenburg|Gamaliel|Fraktur|Schwabach|Textura", re.IGNORECASE)
_MONO = re.compile(r"Mono|Courier|Cousine|Cursor|Typewriter|Prime", re.IGNORECASE)
_SANS = re.compile(
    r"Sans|Lato|Inter|Gillius|Universalis|Carlito|Arimo|Heros|Adventor|Karla|Biolinum|Gothic|CMU Bright",
    re.IGNORECASE,
)
_BASIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'-")

_KEPT = (range(0x20, 0x180), range(0x1D43, 0x1D6B), range(0x2010, 0x20C0), range(0x2116, 0x2190))
_PROBE_PX = 24
_WRONG = {  # part of a path: what such a font draws as something else
    "gamaliel": "†",  # a Maltese cross
    "essays1743": "âêîôûÂÊÎÔÛ",  # a dot for the circumflex
    "gnutypewriter": "“”„‘’",  # straight quotes
}

Row = tuple[str, str, str, str, str]
"""A font in the cache: path, family, style, kind, characters."""


@dataclass(frozen=True)
class Font:
    """A font file.

    Attributes:
        path: of the .ttf or .otf file.
        family: its family name.
        style: "r", "i", "b" or "bi" for regular, italic, bold, bold italic.
        kind: "serif", "sans", "mono" or "fraktur".
        covers: the wanted characters that it can draw.
    """

    path: str
    family: str
    style: str
    kind: str
    covers: frozenset[str]


def find_fonts(characters: str, cache: Path, files: Sequence[Path] = ()) -> list[Font]:
    """All usable fonts, in a fixed order.

    Args:
        characters: what shall be drawn; of it, a font must cover the letters and digits at least.
        cache: folder that keeps the list, since reading a thousand fonts takes a while; fonts installed
            later are noticed.
        files: .ttf or .otf files beside the installed ones.

    Raises:
        BadData: fontconfig or fonts are missing, or one of the files cannot be used.
    """
    listed = _listed()
    rules = "".join(p.pattern for p in (_UNFIT, _UNFIT_STYLE, _FRAKTUR, _MONO, _SANS))
    digest = hashlib.sha256("\n".join([rules, repr((_KEPT, _WRONG)), *listed]).encode()).hexdigest()[:12]
    path = cache / f"fonts-{digest}.json"
    if not path.exists():
        entries = [entry for line in listed if (entry := _inspect(line))]
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sorted(entries)), "utf-8")
    rows: list[Row] = [*json.loads(path.read_text("utf-8")), *map(_given, files)]
    wanted = frozenset(characters)
    fonts = [
        Font(file, family, style, kind, frozenset(covered) & wanted)
        for file, family, style, kind, covered in rows
        if Path(file).exists()
    ]
    fonts = [font for font in fonts if _BASIC & wanted <= font.covers]
    if not fonts:
        raise BadData(f"no fonts for book text are installed; on Debian: apt install {' '.join(PACKAGES)}")
    return fonts


def _listed() -> list[str]:
    command = ["fc-list", "-f", "%{file}\t%{family[0]}\t%{style[0]}\n"]
    try:
        return sorted(set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")))
    except FileNotFoundError:
        raise BadData(f"fc-list is missing; on Debian: apt install {' '.join(PACKAGES)}") from None


def _given(path: Path) -> Row:
    """A font that the user named: taken whatever it is called."""
    try:
        with TTFont(path, lazy=True) as font:
            family, style = (font["name"].getDebugName(i) or "" for i in (1, 2))
    except (TTLibError, OSError, AssertionError) as error:
        raise BadData(f"{path}: is no TrueType or OpenType font ({error})") from None
    kind = "fraktur" if _FRAKTUR.search(f"{family} {path.stem}") else _kind(family)
    return str(path), family or path.stem, _style(style), kind, _covered(str(path))


def _inspect(line: str) -> Row | None:
    """What fc-list says of a file -> its row, None if it is unfit for book text."""
    path, family, style = [*line.split("\t"), "", ""][:3]
    if not path.lower().endswith((".ttf", ".otf")) or _UNFIT_STYLE.search(style):
        return None
    if not _FRAKTUR.search(family) and (_UNFIT.search(family) or _UNFIT.search(Path(path).stem)):
        return None
    try:
        covered = _covered(path)
    except (TTLibError, OSError, AssertionError):  # a broken font is left out
        return None
    return (path, family, _style(style), _kind(family), covered) if _BASIC <= set(covered) else None


def _covered(path: str) -> str:
    """The characters that a font really draws: not empty, not its sign for a missing glyph, not another."""
    with TTFont(path, lazy=True) as font:
        codes = sorted(code for code in font.getBestCmap() or {} if any(code in kept for kept in _KEPT))
    face = ImageFont.truetype(path, _PROBE_PX, layout_engine=ImageFont.Layout.BASIC)
    missing = bytes(face.getmask("\uffff"))
    drawn = []
    for character in map(chr, codes):
        mask = face.getmask(character)
        if character == " " or (mask.getbbox() is not None and bytes(mask) != missing):
            drawn.append(character)
    wrong = next((signs for name, signs in _WRONG.items() if name in path.lower()), "")
    return "".join(c for c in drawn if c not in wrong)


def _style(name: str) -> str:
    """Name of a style to "r", "i", "b" or "bi"."""
    bold = "b" if re.search(r"bold|demi", name, re.IGNORECASE) else ""
    italic = "i" if re.search(r"ital|obl|slant", name, re.IGNORECASE) else ""
    return bold + italic or "r"


def _kind(family: str) -> str:
    if _FRAKTUR.search(family):
        return "fraktur"
    return "mono" if _MONO.search(family) else "sans" if _SANS.search(family) else "serif"

# SPDX-License-Identifier: Apache-2.0
"""Installed fonts that can draw book text, with the characters that each one covers."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from zeile.errors import BadData

PACKAGES = (
    "fontconfig fonts-junicode fonts-elstob fonts-cardo fonts-essays1743 fonts-goudybookletter fonts-oldstandard "
    "fonts-gfs-didot fonts-gfs-artemisia fonts-adf-accanthis fonts-adf-baskervald fonts-adf-romande "
    "fonts-adf-gillius fonts-adf-universalis fonts-century-catalogue fonts-fanwood fonts-lindenhill fonts-cmu "
    "fonts-lmodern fonts-texgyre fonts-urw-base35 fonts-uralic fonts-gnutypewriter fonts-courier-prime "
    "fonts-blankenburg fonts-gamaliel fonts-liberation fonts-dejavu-core fonts-dejavu-extra "
    "fonts-crosextra-caladea fonts-crosextra-carlito fonts-linuxlibertine fonts-sil-gentium fonts-sil-charis "
    "fonts-ebgaramond fonts-noto-core fonts-lato fonts-quattrocento fonts-freefont-ttf fonts-sil-doulos "
    "fonts-open-sans"
).split()
"""Debian packages of the fonts."""

_UNFIT = re.compile(  # no book text: capitals, signs, displays, scripts
    r"SC$|All ?SC|Caps|Math|Symbol|Emoji|Keyboard|Junkyard|Penguin|Cupola|Abogado|Script|Chorus|D050|Dunhill|"
    r"Unslanted|Quotation|Isabella|Oldania|Upright Italic|Z003|Chancery|Initials|Museum|Dingbats|Music|"
    r"Noto (Sans|Serif) (?!Display$)\S",
    re.IGNORECASE,
)
_UNFIT_STYLE = re.compile(r"Black|Thin|Hairline|ExtraLight|UltraLight|Heavy|Ornament|Swash|Condensed", re.IGNORECASE)
_FRAKTUR = re.compile(r"Blankenburg|Gamaliel|Fraktur|Schwabach|Textura", re.IGNORECASE)
_MONO = re.compile(r"Mono|Courier|Cousine|Cursor|Typewriter|Prime", re.IGNORECASE)
_SANS = re.compile(
    r"Sans|Lato|Inter|Gillius|Universalis|Carlito|Arimo|Heros|Adventor|Karla|Biolinum|Gothic|Nimbus Sans",
    re.IGNORECASE,
)
_BASIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:!?'-")


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


def find_fonts(characters: str, cache: Path) -> list[Font]:
    """All usable installed fonts, in a fixed order.

    Args:
        characters: what shall be drawn; a font need not cover all of it, but it must cover letters and digits.
        cache: folder that keeps the list, since reading a thousand fonts takes a while.

    Raises:
        BadData: fontconfig or fonts are missing.
    """
    path = cache / "fonts.json"
    if not path.exists():
        entries = [e for line in _listed() if (e := _inspect(line))]
        if not entries:
            raise BadData(f"no fonts are installed; on Debian: apt install {' '.join(PACKAGES)}")
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(sorted(entries)), "utf-8")
    wanted = frozenset(characters)
    fonts = [Font(*entry[:4], frozenset(entry[4]) & wanted) for entry in json.loads(path.read_text("utf-8"))]
    return [f for f in fonts if Path(f.path).exists() and len(_BASIC - f.covers - (_BASIC - wanted)) == 0]


def _listed() -> list[str]:
    try:
        listed = ["fc-list", "-f", "%{file}\t%{family[0]}\t%{style[0]}\n"]
        return sorted(set(subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\n")))
    except FileNotFoundError:
        raise BadData(f"fc-list is missing; on Debian: apt install {' '.join(PACKAGES)}") from None


def _inspect(line: str) -> tuple[str, str, str, str, str] | None:
    """One row of fc-list -> (path, family, style, kind, characters), None if unfit for book text."""
    from fontTools.ttLib import TTFont, TTLibError

    path, family, style = (line.split("\t") + ["", ""])[:3]
    if not path.lower().endswith((".ttf", ".otf")) or _UNFIT_STYLE.search(style):
        return None
    if not _FRAKTUR.search(family) and (_UNFIT.search(family) or _UNFIT.search(Path(path).stem)):
        return None
    try:
        with TTFont(path, lazy=True) as font:
            covered = "".join(sorted(chr(code) for code in font.getBestCmap() or {} if code < 0x3000))
    except (TTLibError, OSError, AssertionError):  # a broken font is left out
        return None
    bold = bool(re.search(r"bold|demi", style, re.IGNORECASE))
    italic = bool(re.search(r"ital|obl|slant", style, re.IGNORECASE))
    short = {(False, False): "r", (False, True): "i", (True, False): "b", (True, True): "bi"}[bold, italic]
    if _FRAKTUR.search(family):
        kind = "fraktur"
    else:
        kind = "mono" if _MONO.search(family) else "sans" if _SANS.search(family) else "serif"
    return path, family, short, kind, covered

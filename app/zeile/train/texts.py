# SPDX-License-Identifier: Apache-2.0
"""Texts for synthetic lines: paragraphs from installed Debian packages, by language."""

from __future__ import annotations

import gzip
import hashlib
import html
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from zeile.errors import BadData

PACKAGES = (
    "anarchism debian-handbook fortunes fortunes-de dict-gcide dict-devil dict-jargon dict-foldoc "
    "sword-text-web libsword-utils debian-reference-de debian-reference-fr developers-reference-de "
    "developers-reference-fr manpages-de manpages-fr"
).split()
"""Debian packages that hold the texts; those not installed are left out."""

LANGUAGES = ("en", "de", "fr")

_SHARE = Path("/usr/share")
_SHORTEST = 40  # characters of a paragraph
_PROSE = 0.96  # share of letters, blanks and common punctuation: fewer, and it is code, paths or tables
_EXTRACTION = 4  # counted up when what is extracted changes, so that old caches are not read


def paragraphs(language: str, cache: Path) -> list[str]:
    """Paragraphs of prose of at least 40 characters, NFC, blanks collapsed.

    Args:
        language: "en", "de" or "fr".
        cache: folder that keeps the extracted text, since extraction takes seconds; a package installed
            or upgraded later is noticed.

    Raises:
        BadData: the language is unknown, or no package with texts of it is installed.
    """
    if language not in LANGUAGES:
        raise BadData(f"there are no texts for language {language!r}; known are {', '.join(LANGUAGES)}")
    files = list(_files(language))
    bible = language == "en" and shutil.which("mod2imp") is not None
    listing = repr([_EXTRACTION, bible, [(str(path), path.stat().st_size) for path, _ in files]])
    path = cache / f"texts-{language}-{hashlib.sha256(listing.encode()).hexdigest()[:12]}.txt"
    if not path.exists():
        sources = [extract(_read(source)) for source, extract in files]
        if bible:
            sources.append(_bible())
        found = list(dict.fromkeys(p for text in sources for p in map(_clean, _split(text)) if _is_prose(p, language)))
        if not found:
            raise BadData(
                f"no texts for {language!r} are installed; on Debian: apt install {' '.join(PACKAGES)}, "
                "or train without synthetic lines"
            )
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(found), "utf-8")
    return path.read_text("utf-8").split("\n")


def long_s(text: str) -> str:
    """German text with the long s, in the orthography that goes with it (ß for a final ss).

    s is ſ unless it ends a word or a part of a compound; the commonest such parts are known, the others
    cannot be told without a dictionary.
    """
    text = _JOINTS.sub(_ROUND, _FIRST_PARTS.sub(f"\\1{_ROUND}", text))
    text = re.sub(r"s(?=[a-zäöüßſ])", "ſ", _SHARP_S.sub("ß", text))
    return text.replace(_ROUND, "s")


_ROUND = "\0"  # stands for an s that is known to be round
_FIRST_PARTS = re.compile(  # beginnings of words that end in a round s: aus|geführt, Reichs|tag
    r"\b((?:her|hin|vor|dar|durch)?au(?!sse[rn]\b|sserh|sserd)|die(?=smal|sseit|sbezüg|sjähr)|bi(?=sher|sweil|slang)"
    r"|hau(?=s[bcdfghjklmnrsvwz])|leben|reich|staat|krieg|land|lande|bunde|glauben|recht|himmel|geiste|handel|volk"
    r"|könig|arbeit)s(?=[a-zäöü])(?!e[nrms]?\b|t\b|es\b)",
    re.IGNORECASE,
)
_JOINTS = re.compile(r"(?<=ung|eit|ion|aft|tät|tum)(?<![^hk]eit)s(?=[a-zäöü])(?!ten?\b|t\b)")  # Hoffnungs|los
_SHARP_S = re.compile(r"ss(?=[bdfghklmnrtvwz]|\b)")


def _files(language: str) -> Iterator[tuple[Path, Callable[[str], str]]]:
    """The installed files of a language, in a fixed order, and how to get the text out of each."""
    local = {"en": "en-US", "de": "de-DE", "fr": "fr-FR"}[language]
    pages = [f"doc/debian-handbook/html/{local}/*.html", f"debian-reference/*.{language}.html"]
    pages.append(f"developers-reference/{language}/*.html")
    if language == "en":
        pages.append("doc/anarchism/html/*.html")
        for name in ("gcide", "devil", "jargon", "foldoc"):
            yield from ((path, _strip_dictionary) for path in _SHARE.glob(f"dictd/{name}.dict.dz"))
    else:
        yield from ((path, _strip_man) for path in sorted(_SHARE.glob(f"man/{language}/man*/*.gz")))
    for pattern in pages:
        yield from ((path, _strip_html) for path in sorted(_SHARE.glob(pattern)))
    for path in sorted(_SHARE.glob("games/fortunes/*" if language == "en" else f"games/fortunes/{language}/*")):
        if path.is_file() and path.suffix not in (".dat", ".u8"):
            yield path, _strip_fortunes


def _read(path: Path) -> str:
    data = gzip.open(path).read() if path.suffix in (".gz", ".dz") else path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _bible() -> str:
    """World English Bible of sword-text-web; empty if only its reader is installed."""
    done = subprocess.run(["mod2imp", "engWEB2015eb"], capture_output=True, text=True, check=False)
    return _strip_html(re.sub(r"<note.*?</note>", "", re.sub(r"\$\$\$.*", "\n", done.stdout)))


def _strip_html(text: str) -> str:
    text = re.sub(r"(?is)<(script|style|pre)[^>]*>.*?</\1>", " ", text)
    text = re.sub(r"(?i)</?(p|div|li|h\d|br|tr|dd|dt)[^>]*>", "\n\n", text)
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def _strip_man(text: str) -> str:
    kept = [line.split('\\"')[0] for line in text.split("\n") if not line.startswith((".", "'"))]
    return _ESCAPE.sub(_unescape, "\n".join(kept))


_ESCAPE = re.compile(  # fonts, sizes and strings of roff first, then named characters, then all others
    r"\\(?:f(?:\[[A-Z]*\]|\(..|[A-Z])|s[-+]?\d|\*(?:\[[^\]]*\]|\(..|.)|[mhvw]'[^']*')|\\(?:\((..)|\[([^\]]*)\]|(.))"
)
_ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", ",": "\u0327", "~": "\u0303"}
_SIGNS = dict(zip("Fo Fc aq oq cq lq rq em en hy bu co ss oe OE ae AE de".split(), "«»'‘’“”—–-•©ßœŒæÆ°", strict=True))


def _unescape(match: re.Match[str]) -> str:
    """One escape of roff, see groff_char(7); accented letters come in two parts, which _clean joins."""
    if short := match.group(3):
        return {"-": "-", "~": " ", " ": " ", "0": " "}.get(short, "")
    name = match.group(1) or match.group(2) or ""
    if len(name) == 2 and name[0] in _ACCENTS:
        return name[1] + _ACCENTS[name[0]]
    return _SIGNS.get(name, "")


def _strip_dictionary(text: str) -> str:
    text = re.sub(r"\[(1913 Webster|Obs\.|syn:.*?|(19|20)\d\d.*?)\]", "", text)
    return re.sub(r"\\[^\\\n]*\\,?|[{}]", "", text)  # pronunciations, links


def _strip_fortunes(text: str) -> str:
    return "\n\n".join(" ".join(entry.split()) for entry in text.split("\n%"))


def _split(text: str) -> list[str]:
    return re.split(r"\n\s*\n|\n(?=[A-Z%])", text)


def _clean(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _is_prose(text: str, language: str) -> bool:
    common = sum(c.isalpha() or c in " .,;:!?'’\"“”„«»()-–—" for c in text)
    if len(text) < _SHORTEST or common < _PROSE * len(text):
        return False
    words = text.lower().split()  # translations are incomplete: some paragraphs are still English
    return language == "en" or _count(words, _ENGLISH) <= _count(words, _OWN[language])


_ENGLISH = frozenset("the of and to is that for are with you".split())
_OWN = {
    "de": frozenset("der die das und ist nicht den ein eine zu mit für sie es auf im dem".split()),
    "fr": frozenset("le la les de des et est un une à que qui pour dans en du".split()),
}


def _count(words: list[str], known: frozenset[str]) -> int:
    return sum(word in known for word in words)

# SPDX-License-Identifier: Apache-2.0
"""Texts for synthetic lines: paragraphs from installed Debian packages, by language."""

from __future__ import annotations

import gzip
import html
import re
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from zeile.errors import BadData

PACKAGES = (
    "anarchism debian-handbook fortunes fortunes-de dict-gcide dict-devil dict-jargon dict-foldoc "
    "sword-text-web libsword-utils debian-reference-de debian-reference-fr developers-reference-de "
    "developers-reference-fr manpages-de manpages-fr"
).split()
"""Debian packages that hold the texts; those not installed are left out."""

_SHARE = Path("/usr/share")
_SHORTEST = 40  # characters of a paragraph
_HTML = {
    "en": ("doc/anarchism/html/*.html", "doc/debian-handbook/html/en-US/*.html"),
    "de": (
        "doc/debian-handbook/html/de-DE/*.html",
        "debian-reference/*.de.html",
        "developers-reference/de/*.html",
    ),
    "fr": (
        "doc/debian-handbook/html/fr-FR/*.html",
        "debian-reference/*.fr.html",
        "developers-reference/fr/*.html",
    ),
}
_PLAIN = {
    "en": ("dictd/gcide.dict.dz", "dictd/devil.dict.dz", "dictd/jargon.dict.dz", "dictd/foldoc.dict.dz"),
    "de": (),
    "fr": (),
}
_FORTUNES = {"en": "games/fortunes/*", "de": "games/fortunes/de/*", "fr": "games/fortunes/fr/*"}


def paragraphs(language: str, cache: Path) -> list[str]:
    """Paragraphs of at least 40 characters, NFC, blanks collapsed.

    Args:
        language: "en", "de" or "fr".
        cache: folder that keeps the extracted text, since extraction takes seconds.

    Raises:
        BadData: no package with texts of this language is installed.
    """
    path = cache / f"texts-{language}.txt"
    if not path.exists():
        found = list(dict.fromkeys(_clean(p) for text in _sources(language) for p in _split(text)))
        found = [p for p in found if len(p) >= _SHORTEST]
        if not found:
            raise BadData(
                f"no texts for {language!r} are installed; on Debian: apt install {' '.join(PACKAGES)}, "
                "or train without synthetic lines (--synthetic 0)"
            )
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(found), "utf-8")
    return path.read_text("utf-8").split("\n")


def _sources(language: str) -> Iterator[str]:
    for pattern in _HTML[language]:
        for path in sorted(_SHARE.glob(pattern)):
            yield _strip_html(_read(path))
    for name in _PLAIN[language]:
        if (_SHARE / name).exists():
            yield re.sub(r"\[(1913 Webster|Obs\.|syn:.*?|(19|20)\d\d.*?)\]", "", _read(_SHARE / name))
    for path in sorted(_SHARE.glob(_FORTUNES[language])):
        if path.is_file() and path.suffix not in (".dat", ".u8"):
            yield "\n\n".join(" ".join(entry.split()) for entry in _read(path.resolve()).split("\n%"))
    if language == "en":
        yield _bible()
    for path in sorted((_SHARE / "man" / language).glob("man*/*.gz")) if language != "en" else ():
        yield _strip_man(_read(path))


def _read(path: Path) -> str:
    data = gzip.open(path).read() if path.suffix in (".gz", ".dz") else path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _bible() -> str:
    """World English Bible of sword-text-web, if it is installed with its reader."""
    try:
        done = subprocess.run(["mod2imp", "engWEB2015eb"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return _strip_html(re.sub(r"<note.*?</note>", "", re.sub(r"\$\$\$.*", "\n", done.stdout)))


def _strip_html(text: str) -> str:
    text = re.sub(r"(?is)<(script|style|pre)[^>]*>.*?</\1>", " ", text)
    text = re.sub(r"(?i)</?(p|div|li|h\d|br|tr|dd|dt)[^>]*>", "\n\n", text)
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def _strip_man(text: str) -> str:
    kept = [line for line in text.split("\n") if not line.startswith((".", "'"))]
    joined = re.sub(r"\\f(\[[A-Z]*\]|[A-Z])|\\&", "", "\n".join(kept))
    return re.sub(r"\\(\(..|\[[^\]]*\]|.)", lambda m: "-" if m.group(1) == "-" else " ", joined)


def _split(text: str) -> list[str]:
    return re.split(r"\n\s*\n|\n(?=[A-Z%])", text)


def _clean(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())

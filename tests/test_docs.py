# SPDX-License-Identifier: Apache-2.0
"""README and help: every command is documented, and everything documented exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from zeile.cli import build_parser, main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines() if line]
SUBCOMMANDS = (
    "read",
    "bulk",
    "serve",
    "broker",
    "load",
    "keys",
    "audit",
    "replay",
    "bench",
    "train",
    "lm",
    "info",
    "doctor",
    "models",
    "hw",
)
PAGES = sorted(
    page
    for folder in ("", "hw_src", "overlays", "models", "tests", "deploy", "app")
    for page in (ROOT / folder).glob("**/*.md" if folder else "*.md")
)


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_every_subcommand_is_documented_and_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert any(words[:2] == ["zeile", command] for words in COMMANDS), f"README does not show zeile {command}"
    if command == "train":
        pytest.importorskip("torch")
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "example" in capsys.readouterr().out


def test_no_subcommand_is_missing_here() -> None:
    listed = re.search(r"\n  COMMAND\n((?:    .*\n)+)", build_parser().format_help())
    assert listed is not None
    assert tuple(line.split()[0] for line in listed[1].splitlines()) == SUBCOMMANDS


@pytest.mark.parametrize("words", [c for c in COMMANDS if c[0] == "zeile"], ids=shlex.join)
def test_commands_in_the_readme_are_understood(words: list[str]) -> None:
    if words[1] == "train":
        pytest.importorskip("torch")
    build_parser(words[1]).parse_args(words[1:])


def test_programs_and_files_in_the_readme_exist() -> None:
    for words in COMMANDS:
        for word in words:
            if word.startswith(("deploy/", "tests/", "app/")):
                assert list(ROOT.glob(word)), f"README names {word}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("script", ["run.sh", "test.sh", "aarch64.sh"])
def test_scripts_explain_themselves(script: str) -> None:
    done = subprocess.run([ROOT / "deploy" / script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: deploy/{script}")


def test_python_m_zeile_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "zeile", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("zeile ")

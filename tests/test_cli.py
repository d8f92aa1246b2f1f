# SPDX-License-Identifier: Apache-2.0
"""The command as a user runs it: another process, files, pipes, exit codes, messages."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.models import line_pixels, line_png, write_tiny_model

import zeile
from zeile.cli import build_parser, main
from zeile.device import open_device
from zeile.manifest import load_model
from zeile.pipeline import Line, Recognizer

PACKAGE = Path(zeile.__file__).parents[1]
COMMANDS = tuple("read bulk serve broker load keys audit replay bench train lm info doctor models hw".split())


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZEILE_")}
    return kept | {"PYTHONPATH": str(PACKAGE), "ZEILE_MODEL": "tiny", "ZEILE_ENGINE": "reference"} | more


class Outcome(subprocess.CompletedProcess[bytes]):
    """What a command did."""

    @property
    def text(self) -> str:
        return str(self.stdout, "utf-8")

    @property
    def complaint(self) -> str:
        return str(self.stderr, "utf-8")


def zeile_command(folder: Path, *arguments: str, stdin: bytes = b"", **variables: str) -> Outcome:
    """Run ``zeile`` in a folder with the models in ``folder / "models"``; nobody ever sees a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "zeile", *arguments],
        cwd=folder,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Outcome(done.args, done.returncode, done.stdout, done.stderr)


def on_a_terminal(folder: Path, *arguments: str) -> tuple[bytes, bytes]:
    """Run ``zeile`` with a terminal for its complaints; returns its output and what the terminal shows."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "zeile", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=inner,
    ) as process:
        os.close(inner)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal hangs up when the command ends
            while piece := os.read(outer, 4096):
                shown += piece
        assert process.stdout is not None
        answer = process.stdout.read()
        assert process.wait() == 0
    os.close(outer)
    return answer, shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models/tiny/1, four lines, and files that are none."""
    folder = tmp_path_factory.mktemp("cli")
    write_tiny_model(folder / "models")
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(line_png(seed))
    Image.new("L", (80, 30), 240).save(folder / "blank.png")
    (folder / "cut.png").write_bytes(line_png()[:300])
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def lines(folder: Path) -> Sequence[Line]:
    """What the four lines say."""
    model = load_model(folder / "models" / "tiny" / "1")
    recognizer = Recognizer(model, open_device("reference", model.network))
    return recognizer.read_batch([line_pixels(seed) for seed in range(4)])


def test_text_of_one_file(folder: Path, lines: Sequence[Line]) -> None:
    done = zeile_command(folder, "read", "0.png")
    assert (done.returncode, done.text, done.complaint) == (0, lines[0].text + "\n", "")


def test_text_of_several_in_the_order_given(folder: Path, lines: Sequence[Line]) -> None:
    done = zeile_command(folder, "read", "2.png", "0.png", "2.png", "blank.png", "1.png")
    assert done.text.splitlines() == [lines[2].text, lines[0].text, lines[2].text, "", lines[1].text]


def test_standard_input(folder: Path, lines: Sequence[Line]) -> None:
    done = zeile_command(folder, "read", "-", stdin=line_png(3))
    assert (done.returncode, done.text) == (0, lines[3].text + "\n")
    done = zeile_command(folder, "read", "-")
    assert (done.returncode, done.complaint) == (1, "zeile: -: the image file is empty (0 bytes)\n")


def test_json(folder: Path, lines: Sequence[Line]) -> None:
    done = zeile_command(folder, "read", "--format", "json", "1.png", "cut.png", "blank.png")
    first, bad, blank = json.loads(done.stdout)
    assert done.returncode == 1
    assert first["file"] == "1.png"
    assert first["text"] == lines[1].text
    assert first["confidence"] == (lines[1].confidence or 0) / 10_000
    character = lines[1].characters[0]
    assert first["characters"][0] == {
        "text": character.text,
        "left": character.left_px,
        "right": character.right_px,
        "confidence": character.confidence / 10_000,
    }
    assert bad.keys() == {"file", "error"}
    assert "damaged or cut off" in bad["error"]
    assert blank == {"file": "blank.png", "text": "", "confidence": None, "characters": []}


def test_tsv(folder: Path, lines: Sequence[Line]) -> None:
    odd = folder / "a\tb\n.png"
    odd.write_bytes(line_png(0))
    done = zeile_command(folder, "read", "--format", "tsv", "1.png", "notes.txt", "blank.png", odd.name)
    rows = [row.split("\t") for row in done.text.splitlines()]
    confidence = f"{(lines[1].confidence or 0) / 10_000:.4f}"
    assert rows[0] == ["file", "confidence", "text", "error"]
    assert rows[1] == ["1.png", confidence, lines[1].text, ""]
    assert rows[2][:3] == ["notes.txt", "", ""]
    assert "no known image format" in rows[2][3]
    assert rows[3] == ["blank.png", "", "", ""]
    assert rows[4][0] == r"a\tb\n.png"
    assert done.returncode == 1


def test_bad_files_do_not_stop_the_others(folder: Path, lines: Sequence[Line]) -> None:
    done = zeile_command(folder, "read", "0.png", "none.png", ".", "cut.png", "1.png")
    assert done.returncode == 1
    assert done.text.splitlines() == [lines[0].text, "", "", "", lines[1].text]
    complaints = done.complaint.splitlines()
    assert complaints[0] == "zeile: none.png: the file cannot be read: No such file or directory"
    assert complaints[1] == "zeile: .: the file cannot be read: Is a directory"
    assert complaints[2].startswith("zeile: cut.png: the image file is damaged or cut off")
    assert len(complaints) == 3


def test_a_line_that_is_too_long_fails_alone(folder: Path, lines: Sequence[Line]) -> None:
    strip = np.full((8, 65_000), 255, np.uint8)
    strip[3:5, ::7] = 0
    Image.fromarray(strip).save(folder / "strip.png")
    done = zeile_command(folder, "read", "0.png", "strip.png", "1.png")
    assert done.text.splitlines() == [lines[0].text, "", lines[1].text]
    assert "at most 65536 are allowed" in done.complaint


def test_many_files_equal_single_ones(folder: Path, lines: Sequence[Line]) -> None:
    names = [f"{i % 4}.png" for i in range(70)]
    done = zeile_command(folder, "read", *names)
    assert done.text.splitlines() == [lines[i % 4].text for i in range(70)]
    assert done.complaint == ""  # no progress bar unless on a terminal


def test_a_progress_bar_on_a_terminal(folder: Path) -> None:
    answer, shown = on_a_terminal(folder, "read", *["0.png"] * 60)
    assert len(answer.splitlines()) == 60
    assert b"60/60" in shown


def test_names_that_are_not_utf_8(folder: Path, lines: Sequence[Line]) -> None:
    name = os.fsdecode(b"\xffline.png")
    try:
        (folder / name).write_bytes(line_png(0))
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    done = zeile_command(folder, "read", "--format", "json", name, os.fsdecode(b"\xfe.png"))
    assert [entry["file"] for entry in json.loads(done.stdout)] == ["\ufffdline.png", "\ufffd.png"]
    assert "\ufffd.png: the file cannot be read" in done.complaint


def test_output_is_utf_8_whatever_the_locale(folder: Path, lines: Sequence[Line]) -> None:
    model = load_model(folder / "models" / "tiny" / "1")
    assert any(not c.isascii() for c in model.alphabet.characters)
    done = zeile_command(folder, "read", "0.png", "1.png", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.text.splitlines() == [lines[0].text, lines[1].text]


def test_a_closed_pipe_is_no_error(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "zeile", "read", *["0.png"] * 400],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_readings_and_beam(folder: Path) -> None:
    for more in ("--reading diplomatic", "--beam 4", "--beam", "--model models/tiny/1", "--model tiny/1"):
        done = zeile_command(folder, "read", "0.png", *more.split())
        assert (done.returncode, done.complaint) == (0, "")
        assert done.text.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["read"], "the following arguments are required: FILE"),
        (["read", "--format", "xml", "0.png"], "invalid choice: 'xml'"),
        (["read", "--model", "antiqua", "0.png"], "model 'antiqua' is neither in models (there: tiny/1)"),
        (["read", "--reading", "modern", "0.png"], "reading 'modern' is unknown to this model; it has plain"),
        (["read", "--engine", "gpu", "0.png"], "engine is 'gpu'; it must be one of cpu, reference"),
        (["read", "--threads", "0", "0.png"], "threads is '0'; it must be a whole number from 1 to 256"),
        (["read", "--beam", "0", "0.png"], "width is 0"),
        (["read", "--language-model", "x.arpa", "0.png"], "--language-model needs --beam"),
        (["read", "--beam", "0.png"], "'0.png' is no width; write --beam behind the files, or --beam N"),
        (["serve", "--port", "70000"], "port is '70000'; it must be a whole number from 0 to 65535"),
        (["models"], "the following arguments are required: action"),
        (["models", "verify", "nothing"], "model 'nothing' is neither in"),
        (["models", "list", "--models", "empty"], "empty holds no models; set ZEILE_MODELS or --models"),
        (["fly"], "invalid choice: 'fly'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_is_explained(folder: Path, arguments: list[str], message: str) -> None:
    done = zeile_command(folder, *arguments)
    assert done.returncode == 2
    assert message in done.complaint
    assert done.stdout == b""


def test_settings_of_the_environment_are_explained(folder: Path) -> None:
    done = zeile_command(folder, "read", "0.png", ZEILE_PROT="1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.complaint == "zeile: the environment has ZEILE_PROT, which does not exist; did you mean ZEILE_PORT?\n"


def test_a_damaged_model_is_explained(folder: Path, tmp_path: Path) -> None:
    target = write_tiny_model(tmp_path / "models")
    data = bytearray((target / "weights.npz").read_bytes())
    data[100] ^= 1
    (target / "weights.npz").write_bytes(data)
    done = zeile_command(tmp_path, "read", str(folder / "0.png"))
    assert done.returncode == 1
    assert "weights.npz is damaged" in done.complaint
    done = zeile_command(tmp_path, "models", "verify")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "weights.npz is damaged" in done.complaint
    done = zeile_command(tmp_path, "info")
    assert done.returncode == 0
    assert "tiny/1: cannot be used" in done.text


def test_models(folder: Path) -> None:
    assert zeile_command(folder, "models", "list").text == "tiny/1\n"
    assert zeile_command(folder, "models", "verify").text == "tiny/1: sound\n"
    assert zeile_command(folder, "models", "verify", "tiny").text == "tiny/1: sound\n"
    elsewhere = zeile_command(folder.parent, "models", "list", "--models", str(folder / "models"))
    assert elsewhere.text == "tiny/1\n"


def test_info(folder: Path) -> None:
    facts: dict[str, Any] = json.loads(zeile_command(folder, "info", "--json").stdout)
    model = load_model(folder / "models" / "tiny" / "1")
    assert facts["zeile"] == zeile.__version__
    assert facts["models_folder"] == "models"
    assert facts["models"] == [
        {
            "name": "tiny",
            "version": "1",
            "description": "Random weights for tests.",
            "license": "Apache-2.0",
            "sha256": model.sha256,
            "readings": ["plain"],
            "classes": 33,
            "height_px": 16,
            "macs_per_line": model.network.macs(600),
        }
    ]
    assert [engine["name"] for engine in facts["engines"]] == ["cpu", "reference", "fpga"]
    text = zeile_command(folder, "info").text
    assert f"zeile: {zeile.__version__}\n" in text
    assert "tiny/1: Random weights for tests; 33 classes" in text
    assert "reference: path numpy" in text
    assert "fpga: cannot be used: " in text
    assert facts["machine"]["processor"] in text


def test_version_and_help_load_nothing_heavy(folder: Path) -> None:
    assert zeile_command(folder, "--version").text == f"zeile {zeile.__version__}\n"
    program = (
        "import sys; from zeile.cli import main\n"
        "try: main(['read', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'cv2', 'PIL', 'torch', 'fastapi', 'uvicorn', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if command == "train":
        pytest.importorskip("torch", reason="the options of training need torch: pip install zeile[train]")
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"usage: zeile {command}" in shown
    assert re.search(rf"^examples:\n(  .*\n)*  zeile {command} ", shown, re.MULTILINE)


def test_the_overview_names_every_command() -> None:
    shown = build_parser().format_help()
    assert all(re.search(rf"^    {command} +\w", shown, re.MULTILINE) for command in COMMANDS)


@pytest.mark.parametrize(
    ("command", "missing", "extra"), [("serve", "uvicorn", "service"), ("train", "torch", "train")]
)
def test_a_missing_extra_is_named(
    command: str, missing: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from importlib.util import find_spec

    def without(name: str) -> object:
        return None if name == missing else find_spec(name) or "there"

    monkeypatch.setattr("importlib.util.find_spec", without)
    assert main([command, "--help"]) == 2
    assert capsys.readouterr().err == f"zeile: zeile {command} needs {missing}: pip install 'zeile[{extra}]'\n"


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``zeile serve``, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "zeile", "serve", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().decode()
            found = re.search(r"http://\S+", said)
            assert found, said + (process.stderr.read().decode() if process.stderr else "")
            yield process, found[0]
        finally:
            process.kill()


def test_serve_says_where_and_answers(folder: Path, lines: Sequence[Line]) -> None:
    for module in ("fastapi", "uvicorn", "python_multipart"):
        pytest.importorskip(module, reason="the service needs its extra: pip install zeile[service]")
    with serving(folder, "--port", "0") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", address)
        request = urllib.request.Request(
            f"{address}/v1/recognize", data=line_png(0), headers={"Content-Type": "image/png"}
        )
        for _ in range(2):
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["lines"][0]["text"] == lines[0].text
        host, port = address.removeprefix("http://").split(":")
        for _ in range(5):  # clients that hang up do not end the service
            with socket.create_connection((host, int(port))) as client:
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        with urllib.request.urlopen(f"{address}/healthz", timeout=60) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def test_a_port_in_use_is_explained(folder: Path) -> None:
    for module in ("fastapi", "uvicorn", "python_multipart"):
        pytest.importorskip(module, reason="the service needs its extra: pip install zeile[service]")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = zeile_command(folder, "serve", "--port", str(port))
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use; choose another" in done.complaint


def test_public_names_exist() -> None:
    for name in zeile.__all__:
        assert getattr(zeile, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'tesseract'"):
        _ = zeile.tesseract

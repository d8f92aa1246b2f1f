# SPDX-License-Identifier: Apache-2.0
"""Model folders: what is written is read back, and whatever was tampered with is refused with a sentence."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.models import line_png, tiny_alphabet, tiny_network, write_tiny_model

from zeile import weights
from zeile.errors import BadManifest, BadSettings, ZeileError
from zeile.image import decode
from zeile.manifest import find_model, list_models, load_model, verify, write_model
from zeile.pipeline import prepare

Manifest = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path)


def change(folder: Path, edit: Callable[[Manifest], object]) -> None:
    """Edit the manifest as an attacker would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def replace_weights(folder: Path, data: bytes) -> None:
    """Put other weights there, with the right hash."""
    (folder / "weights.npz").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    change(folder, lambda m: m["files"].update({"weights.npz": digest}))


def test_a_model_is_read_back_as_written(folder: Path) -> None:
    model, network = load_model(folder), tiny_network()
    assert (model.name, model.version, model.folder) == ("tiny", "1", folder)
    assert model.alphabet == tiny_alphabet()
    assert model.network.layers == network.layers
    assert (model.network.height_px, model.network.pixel_bits, model.network.classes) == (16, 4, 33)
    assert set(model.network.tensors) == set(network.tensors)
    for name, tensor in network.tensors.items():
        assert model.network.tensors[name].dtype == tensor.dtype
        assert np.array_equal(model.network.tensors[name], tensor)
    assert model.sha256 == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert model.manifest["evaluation"]["val"]["none"]["cer"] == 1.0
    verify(folder)


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write_tiny_model(tmp_path / "a"), write_tiny_model(tmp_path / "b")
    for name in ("manifest.json", "weights.npz", "eval.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_order_of_readings_survives(tmp_path: Path) -> None:
    assert load_model(write_tiny_model(tmp_path)).alphabet.default_reading == "plain"


def test_writing_does_not_overwrite(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BadSettings, match="exists and is not overwritten; choose another version"):
        write_tiny_model(folder.parent.parent, seed=7)
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"name": "Latin Print"}, "name is 'Latin Print'"),
        ({"version": "v1"}, "version is 'v1'"),
        ({"files": {"../eval.json": b""}}, r"'../eval.json' is no plain relative path"),
        ({"files": {"/tmp/eval.json": b""}}, "is no plain relative path"),
        ({"training": {"data": []}}, "training lacks 'code_version', 'command', 'lines_seen', 'seed'"),
        ({"text": {}}, "text lacks 'normalisation'"),
        ({"evaluation": {"val": 0.03}}, "evaluation.val is not an object of sets"),
        ({"evaluation": {"val": {"a": {"cer": float("nan")}}}}, "cannot be written as JSON"),
        ({"description": "clear\x1b[2J"}, "control character"),
        ({"files": {"weights.npz": b""}}, "may not bring .*weights.npz"),
    ],
)
def test_what_would_not_load_is_not_written(tmp_path: Path, argument: dict[str, Any], message: str) -> None:
    source = {"name": "none", "license": "CC0-1.0", "source": "here", "lines": 0}
    arguments: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "description": "",
        "license": "Apache-2.0",
        "network": tiny_network(),
        "alphabet": tiny_alphabet(),
        "text": {"normalisation": "NFC"},
        "training": {"data": [source], "command": "", "code_version": "", "seed": 0, "lines_seen": 0},
        "evaluation": {},
        "files": {},
    }
    with pytest.raises(ZeileError, match=message):
        write_model(tmp_path / "models" / "tiny" / "1", **(arguments | argument))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    write_model(tmp_path / "models" / "tiny" / "1", **arguments)


def test_a_model_may_want_its_lines_wider(folder: Path) -> None:
    model = load_model(folder)
    facts = {k: model.manifest[k] for k in ("name", "description", "license", "text", "training", "evaluation")}
    network = replace(model.network, stretch_percent=150)
    wide = load_model(
        write_model(folder.parent / "2", network=network, alphabet=model.alphabet, version="2", files={}, **facts)
    )
    assert (model.network.stretch_percent, wide.network.stretch_percent) == (100, 150)
    page = decode(line_png(1))
    line, wider = prepare(page, model.network), prepare(page, wide.network)
    assert abs(wider.columns - line.columns * 1.5) <= 1
    assert (wider.left, wider.right) == (line.left, line.right)


def test_files_of_subfolders_are_written_and_pinned(folder: Path) -> None:
    model = load_model(folder)
    target = write_model(
        folder.parent / "2",
        network=model.network,
        alphabet=model.alphabet,
        version="2",
        files={"plots/cer.png": b"picture", "latent.npz": b"\0"},
        **{k: model.manifest[k] for k in ("name", "description", "license", "text", "training", "evaluation")},
    )
    verify(target)
    assert (target / "plots" / "cer.png").read_bytes() == b"picture"
    (target / "plots" / "cer.png").write_bytes(b"other")
    with pytest.raises(BadManifest, match=r"plots/cer.png is damaged: its SHA-256 is"):
        load_model(target)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: m.update(format="onnx"), "this is no model folder"),
        (lambda m: m.update(format_version=2), "format_version 2, this Zeile reads 1; install"),
        (lambda m: m.update(format_version=True), "format_version is a bool, it must be a int"),
        (lambda m: m.update(pickle="x"), "unknown key 'pickle'"),
        (lambda m: m.pop("alphabet"), "lacks 'alphabet'"),
        (lambda m: m.update(name="../x"), "name is '../x'"),
        (lambda m: m["network"].update(height_px=0), "network.height_px is 0, allowed are 1 to 256"),
        (lambda m: m["network"].update(height_px=1 << 40), "allowed are 1 to 256"),
        (lambda m: m["network"].update(pixel_bits="4"), "pixel_bits is a str, it must be a int"),
        (lambda m: m["network"].update(stretch_percent=401), "stretch_percent is 401, allowed are 25 to 400"),
        (lambda m: m["network"].update(stretch_percent=1.2), "stretch_percent is a float, it must be a int"),
        (lambda m: m["network"].update(layers=[7]), r"network.layers\[0\] is 7, not an object"),
        (lambda m: m["network"]["layers"][0].update(kind="exec"), "layer kind 'exec' is unknown"),
        (lambda m: m["network"]["layers"][0].update(channels=10**9), "channels is 1000000000"),
        (lambda m: m["network"]["layers"][1].update(rows=0), "cannot be pooled by 0"),
        (lambda m: m["network"]["layers"][1].update(columns=10**9), "joins 1000000000 columns"),
        (lambda m: m["network"]["layers"].pop(), "the last layer must be dense"),
        (lambda m: m["alphabet"]["characters"].append("!"), "34 characters, the network 33 classes"),
        (lambda m: m["alphabet"]["characters"].__setitem__(3, 3), r"characters\[3\] is 3, not a short string"),
        (lambda m: m["alphabet"]["characters"].__setitem__(3, "\ud800"), "lone surrogate"),
        (lambda m: m["alphabet"]["characters"].__setitem__(3, "\x1b"), "control character"),
        (lambda m: m["alphabet"].update(blank=5), "label 5 is named as blank"),
        (lambda m: m["alphabet"]["readings"].update(x=["a"]), "readings.x is not an object"),
        (lambda m: m["alphabet"]["readings"]["plain"].update(a="&"), "names characters"),
        (lambda m: m["training"]["data"][0].pop("license"), r"training.data\[0\] lacks 'license'"),
        (lambda m: m["files"].clear(), "files must name weights.npz"),
        (lambda m: m["files"].update({"manifest.json": "0" * 64}), "not manifest.json"),
        (lambda m: m["files"].update({"../../etc/passwd": "0" * 64}), "is no plain relative path"),
        (lambda m: m["files"].update({"/etc/passwd": "0" * 64}), "is no plain relative path"),
        (lambda m: m["files"].update({"a/./b": "0" * 64}), "is no plain relative path"),
        (lambda m: m["files"].update({"a\\b": "0" * 64}), "is no plain relative path"),
        (lambda m: m["files"].update({"plot.png": "0" * 63}), "is not 64 lower-case hex digits"),
        (lambda m: m["files"].update({"plot.png": "0" * 64}), "plot.png in .* cannot be read: No such file"),
        (lambda m: m["files"].update({"eval.json": "0" * 64}), "eval.json is damaged"),
        (lambda m: m["files"].update({f"{i}": "0" * 64 for i in range(300)}), "at most 256 files"),
    ],
)
def test_a_foreign_manifest_is_refused(folder: Path, edit: Callable[[Manifest], object], message: str) -> None:
    change(folder, edit)
    with pytest.raises(BadManifest, match=message) as caught:
        load_model(folder)
    assert str(caught.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "no model folder"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"format": "zeile-model", "format": "zeile-model"}', "occurs twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON|no model folder"),
        (b" " * ((1 << 20) + 1), "1048577 bytes, allowed are 1048576"),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BadManifest, match=message):
        load_model(folder)


@pytest.mark.parametrize("name", ["weights.npz", "eval.json"])
def test_every_flipped_byte_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BadManifest, match=rf"{re.escape(name)} is damaged: .*copy the model folder again"):
        load_model(folder)


@pytest.mark.parametrize("name", ["manifest.json", "weights.npz", "eval.json"])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BadManifest, match=rf"{re.escape(name)} in .* cannot be read: No such file"):
        load_model(folder)


def test_links_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "weights.npz"
    (folder / "weights.npz").rename(outside)
    (folder / "weights.npz").symlink_to(outside)
    with pytest.raises(BadManifest, match=r"weights.npz is a link out of"):
        load_model(folder)


def test_folders_linked_out_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.png").write_bytes(b"x")
    (folder / "plots").symlink_to(tmp_path / "elsewhere")
    change(folder, lambda m: m["files"].update({"plots/a.png": hashlib.sha256(b"x").hexdigest()}))
    with pytest.raises(BadManifest, match="link out of"):
        load_model(folder)


def test_a_link_to_a_model_folder_works(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert load_model(tmp_path / "current").name == "tiny"


def test_loops_pipes_and_folders_in_place_of_files_are_refused(folder: Path) -> None:
    path = folder / "eval.json"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(BadManifest, match=r"eval.json"):
        load_model(folder)
    path.unlink()
    os.mkfifo(path)  # reading it would wait for ever
    with pytest.raises(BadManifest, match="not a plain file"):
        load_model(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadManifest, match=r"eval.json"):
        load_model(folder)


def test_verify_finds_files_that_nobody_pinned(folder: Path) -> None:
    (folder / "plots").mkdir()
    (folder / "plots" / "x.png").write_bytes(b"")
    load_model(folder)
    with pytest.raises(BadManifest, match=r"'plots/x.png' is not in manifest.json; remove it"):
        verify(folder)


def npz(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(header: str, content: bytes = b"", version: bytes = b"\1\0") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + content


HEADER = "{'descr': '|i1', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read: File is not a zip file"),
        (pickle.dumps({"0.weight": 1}), "cannot be read"),
        (npz(("../0.weight", b"")), "not a tensor"),
        (npz(("0.weight.npy", pickle.dumps([1]))), "cannot be read"),
        (npz(("0.weight.npy", npy(HEADER.replace("|i1", "|O") % 1, pickle.dumps([1])))), "is object; allowed"),
        (npz(("0.weight.npy", npy(HEADER.replace("|i1", "<f4") % 1, b"1234"))), "is float32; allowed"),
        (npz(("0.weight.npy", npy(HEADER % (1 << 60)))), "says shape .* but holds 0 bytes"),
        (npz(("0.weight.npy", npy(HEADER % -1))), "says shape"),
        (npz(("0.weight.npy", npy(HEADER % 1, b"12"))), "but holds 2 bytes"),
        (npz(("0.weight.npy", npy(HEADER.replace("False", "True") % 1, b"1"))), "C order"),
        (npz(("0.weight.npy", npy("__import__('os').abort()", b"1"))), "cannot be read"),
        (npz(("0.weight.npy", npy(HEADER % 1, b"1", b"\2\0"))), "foreign .npy version"),
        (npz(*((f"{i}.npy", b"") for i in range(600))), "holds 600 tensors"),
        (npz(("0.weight.npy", bytes(65 << 20)), compression=zipfile.ZIP_DEFLATED), "bytes together are allowed"),
        (npz(("99.weight.npy", npy(HEADER % 1, b"1"))), r"unknown \['99.weight'\]"),
    ],
)
def test_hostile_weights_are_refused(folder: Path, data: bytes, message: str) -> None:
    replace_weights(folder, data)
    with pytest.raises(BadManifest, match=message):
        load_model(folder)


def test_a_member_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = npz(("a.npy", npy(HEADER % 1, b"1")), ("a.npy", npy(HEADER % 1, b"2")))
    with pytest.raises(BadManifest, match="occurs twice"):
        weights.unpack(data)


def test_weights_of_another_shape_or_range_are_refused(folder: Path) -> None:
    tensors = dict(tiny_network().tensors)
    replace_weights(folder, weights.pack(tensors | {"0.bias": np.zeros(3, np.int32)}))
    with pytest.raises(BadManifest, match=r"weights 0.bias: is int32 \(3,\), needs int32 \(2,\)"):
        load_model(folder)
    replace_weights(folder, weights.pack(tensors | {"0.weight": np.full((2, 3, 3, 1), 8, np.int8)}))
    with pytest.raises(BadManifest, match="a code is not of 4 bits"):
        load_model(folder)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_in_the_weights_is_refused_or_harmless(data: st.DataObject) -> None:
    packed = bytearray(weights.pack(tiny_network().tensors))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(packed), data.draw(st.integers(0, len(packed)))]))
    with contextlib.suppress(BadManifest):
        tensors = weights.unpack(bytes(packed[:end]))
        assert all(tensor.dtype.kind in "iu" for tensor in tensors.values())


def test_models_are_listed_by_name_and_number(tmp_path: Path) -> None:
    assert list_models(tmp_path / "none") == []
    for name, version in (("b", "2"), ("a", "1"), ("b", "10"), ("b", "1.5")):
        write_tiny_model(tmp_path, name=name, version=version)
    (tmp_path / "b" / "draft").mkdir()
    (tmp_path / "b" / "draft" / "manifest.json").write_text("{}")
    names = [f"{folder.parent.name}/{folder.name}" for folder in list_models(tmp_path)]
    assert names == ["a/1", "b/1.5", "b/2", "b/10"]


def test_models_are_found(tmp_path: Path) -> None:
    for version in ("2", "10"):
        write_tiny_model(tmp_path, version=version)
    assert find_model("tiny", tmp_path) == tmp_path / "tiny" / "10"
    assert find_model("tiny/2", tmp_path) == tmp_path / "tiny" / "2"
    assert find_model(str(tmp_path / "tiny" / "2"), tmp_path / "elsewhere") == tmp_path / "tiny" / "2"
    for name in ("tin", "tiny/3", "../tiny", "", "/", "tiny/2/x"):
        with pytest.raises(BadSettings, match=r"is neither in .*\(there: tiny/2, tiny/10\)"):
            find_model(name, tmp_path)

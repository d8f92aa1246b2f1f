# SPDX-License-Identifier: Apache-2.0
"""Models by name: which there are, which may be asked for, and loading them without ever losing one that works."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.models import line_png, write_tiny_model
from tests.service.flaky import sample
from tests.service.serving import refused, serving

from zeile.errors import BadManifest, BadSettings
from zeile.manifest import Model
from zeile.service.metrics import Metrics
from zeile.service.problems import Conflict, NotKnown
from zeile.service.registry import MAX_KEPT, Registry
from zeile.service.schemas import Models
from zeile.settings import Settings

PNG = {"content-type": "image/png"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version, seed in (("1", 25), ("2", 3), ("10", 4)):
        write_tiny_model(tmp_path / "models", version=version, seed=seed)
    write_tiny_model(tmp_path / "models", name="other", seed=5)
    return tmp_path / "models"


@pytest.fixture
def client(folder: Path) -> Iterator[httpx.Client]:
    with serving(Settings(models=folder, model="tiny/1")) as client:
        yield client


def registry(folder: Path, model: str = "tiny/1") -> Registry:
    return Registry(Settings(models=folder, model=model), Metrics())


def read_by(client: httpx.Client, asked: str = "") -> str:
    """The model that reads, as name/version."""
    response = client.post("/v1/recognize", params={"model": asked} if asked else {}, content=line_png(1), headers=PNG)
    response.raise_for_status()
    model = response.json()["model"]
    return f"{model['name']}/{model['version']}"


def entry(client: httpx.Client, name: str) -> Any:
    models = Models.model_validate_json(client.get("/v1/models").content).models
    return next(m for m in models if f"{m.name}/{m.version}" == name)


def test_models_are_listed_with_what_points_to_them(client: httpx.Client) -> None:
    listed = Models.model_validate_json(client.get("/v1/models").content)
    names = [f"{m.name}/{m.version}" for m in listed.models]
    assert names == ["other/1", "tiny/1", "tiny/2", "tiny/10"]
    assert listed.aliases == {"default": "tiny/1"}
    assert [m.default for m in listed.models] == [False, True, False, False]
    assert [m.state for m in listed.models] == ["ready", "open", "ready", "ready"]
    assert read_by(client, "other") == "other/1"
    assert entry(client, "other/1").state == "open"


def test_names_without_a_version_mean_the_highest(client: httpx.Client) -> None:
    assert [read_by(client, name) for name in ("", "default", "tiny", "tiny/2")] == [
        "tiny/1",
        "tiny/1",
        "tiny/10",
        "tiny/2",
    ]


def test_an_alias_reads_and_can_be_pointed_elsewhere_and_taken_away(client: httpx.Client) -> None:
    assert client.put("/v1/aliases/stable", json={"target": "tiny/2"}).json()["aliases"]["stable"] == "tiny/2"
    assert read_by(client, "stable") == "tiny/2"
    assert entry(client, "tiny/2").aliases == ["stable"]
    client.put("/v1/aliases/stable", json={"target": "other"}).raise_for_status()
    assert read_by(client, "stable") == "other/1"
    assert "stable" not in client.delete("/v1/aliases/stable").json()["aliases"]
    answer = client.post("/v1/recognize?model=stable", content=line_png(1), headers=PNG)
    assert "model 'stable' is unknown; this service has other/1, " in refused(answer, 422, "bad-option")


def test_the_default_is_an_alias_that_stays(client: httpx.Client) -> None:
    before = sample(client.get("/metrics").text, "zeile_model_swaps_total")
    client.put("/v1/aliases/default", json={"target": "tiny"}).raise_for_status()
    assert (read_by(client), entry(client, "tiny/10").default) == ("tiny/10", True)
    assert sample(client.get("/metrics").text, "zeile_model_swaps_total") == before + 1
    assert "cannot be taken away" in refused(client.delete("/v1/aliases/default"), 409, "conflict")


def test_what_a_name_was_pointed_to_stays_when_a_higher_version_arrives(client: httpx.Client, folder: Path) -> None:
    client.put("/v1/aliases/stable", json={"target": "tiny"}).raise_for_status()
    write_tiny_model(folder, version="11", seed=9)
    assert (read_by(client, "stable"), read_by(client, "tiny"), read_by(client)) == ("tiny/10", "tiny/11", "tiny/1")


def test_unloaded_models_are_refused_until_they_are_loaded_again(client: httpx.Client) -> None:
    assert read_by(client, "tiny/10") == "tiny/10"
    client.post("/v1/models/tiny/10/unload").raise_for_status()
    assert entry(client, "tiny/10").state == "unloaded"
    answer = client.post("/v1/recognize?model=tiny/10", content=line_png(1), headers=PNG)
    assert "model 'tiny/10' is unloaded; load it first" in refused(answer, 422, "bad-option")
    assert read_by(client, "tiny") == "tiny/2"
    assert client.post("/v1/models/tiny/10/load").json()["version"] == "10"
    assert (read_by(client, "tiny/10"), entry(client, "tiny/10").state) == ("tiny/10", "open")


def test_what_a_name_points_to_cannot_be_unloaded(client: httpx.Client) -> None:
    client.put("/v1/aliases/stable", json={"target": "tiny/1"}).raise_for_status()
    detail = refused(client.post("/v1/models/tiny/1/unload"), 409, "conflict")
    assert "tiny/1 is what default, stable points to" in detail
    assert read_by(client) == "tiny/1"


@pytest.mark.parametrize(
    ("method", "path", "target", "status", "kind"),
    [
        ("POST", "/v1/models/tiny/9/load", None, 404, "not-known"),
        ("POST", "/v1/models/none/1/load", None, 404, "not-known"),
        ("POST", "/v1/models/..%2f..%2fetc/1/load", None, 404, None),
        ("POST", "/v1/models/tiny/..%2f1/load", None, 404, None),
        ("POST", "/v1/models/tiny/../load", None, 404, None),
        ("POST", "/v1/models/stable/1/unload", None, 404, "not-known"),
        ("PUT", "/v1/aliases/stable", "tiny/9", 404, "not-known"),
        ("PUT", "/v1/aliases/stable", "../tiny/1", 404, "not-known"),
        ("PUT", "/v1/aliases/stable", "/etc", 404, "not-known"),
        ("PUT", "/v1/aliases/stable", "", 422, "bad-option"),
        ("PUT", "/v1/aliases/tiny", "other/1", 409, "conflict"),
        ("PUT", "/v1/aliases/Stable%0a", "tiny/1", 409, "conflict"),
        ("PUT", "/v1/aliases/" + "a" * 65, "tiny/1", 409, "conflict"),
        ("DELETE", "/v1/aliases/stable", None, 404, "not-known"),
    ],
)
def test_what_does_not_exist_is_not_done(
    client: httpx.Client, method: str, path: str, target: str | None, status: int, kind: str | None
) -> None:
    before = client.get("/v1/models").json()
    response = client.request(method, path, json=None if target is None else {"target": target})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    if kind is not None:
        refused(response, status, kind)
    assert client.get("/v1/models").json() == before


def flip(folder: Path) -> None:
    path = folder / "weights.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def pickled(folder: Path) -> None:
    (folder / "weights.npz").write_bytes(pickle.dumps({"0.weight": [1]}))


def cut_off(folder: Path) -> None:
    path = folder / "weights.npz"
    path.write_bytes(path.read_bytes()[:100])


def escaping(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"eval.json"', b'"../../eval.json"'))


def linked(folder: Path) -> None:
    shutil.copy(folder / "weights.npz", folder.parent.parent.parent / "weights.npz")
    (folder / "weights.npz").unlink()
    os.symlink(folder.parent.parent.parent / "weights.npz", folder / "weights.npz")


@pytest.mark.parametrize("damage", [flip, pickled, cut_off, escaping, linked])
def test_a_damaged_model_is_refused_and_the_one_that_was_loaded_reads_on(
    client: httpx.Client, folder: Path, damage: Callable[[Path], None]
) -> None:
    assert read_by(client, "tiny/2") == "tiny/2"
    damage(folder / "tiny" / "2")
    refused(client.post("/v1/models/tiny/2/load"), 409, "conflict")
    assert read_by(client, "tiny/2") == "tiny/2"  # as it was
    damage(folder / "tiny" / "10")
    detail = refused(client.put("/v1/aliases/default", json={"target": "tiny/10"}), 409, "conflict")
    assert "'default' still points to where it did" in detail
    assert (read_by(client), entry(client, "tiny/10").state) == ("tiny/1", "damaged")
    assert read_by(client, "tiny") == "tiny/2"  # the highest that can be read
    answer = client.post("/v1/recognize?model=tiny/10", content=line_png(1), headers=PNG)
    refused(answer, 503, "bad-model")


def test_a_model_made_anew_is_read_with_once_it_is_loaded(client: httpx.Client, folder: Path, tmp_path: Path) -> None:
    def sha256() -> str:
        response = client.post("/v1/recognize", content=line_png(1), headers=PNG)
        return str(response.json()["model"]["sha256"])

    before = sha256()
    shutil.rmtree(folder / "tiny" / "1")
    write_tiny_model(folder, version="1", seed=77)
    assert sha256() == before
    loaded = client.post("/v1/models/tiny/1/load").json()["sha256"]
    assert loaded != before
    assert sha256() == loaded


def test_a_model_whose_files_are_mended_can_be_asked_for_again(folder: Path) -> None:
    weights = folder / "tiny" / "10" / "weights.npz"
    whole = weights.read_bytes()
    known = registry(folder)
    weights.write_bytes(whole[:50])
    assert known.resolve("tiny") == folder / "tiny" / "2"
    assert known.resolve("tiny") == folder / "tiny" / "2"
    weights.write_bytes(whole)
    assert known.resolve("tiny") == folder / "tiny" / "10"


def test_no_version_of_a_name_can_be_read(folder: Path) -> None:
    shutil.rmtree(folder / "tiny" / "1")
    for version in ("2", "10"):
        (folder / "tiny" / version / "weights.npz").write_bytes(b"")
    known = registry(folder)
    with pytest.raises(BadManifest, match=r"weights\.npz is damaged"):
        known.resolve("tiny")
    with pytest.raises(BadManifest, match="'tiny/1' is neither in"):
        known.resolve(None)


def test_whoever_starts_the_service_may_name_any_folder_and_a_request_may_not(folder: Path, tmp_path: Path) -> None:
    elsewhere = write_tiny_model(tmp_path / "elsewhere", seed=6)
    shutil.copytree(elsewhere, tmp_path / "1")
    known = registry(folder, str(elsewhere))
    assert known.resolve(None) == known.resolve("default") == elsewhere
    assert known.facts().models[0].default
    for asked in (str(elsewhere), "../elsewhere/tiny/1", "../1", "tiny/../other/1", "tiny/1/", "", ".", "tiny/1.0.0.0"):
        with pytest.raises(BadSettings, match="is unknown"):
            known.resolve(asked)
        with pytest.raises(NotKnown):
            known.load(asked)


def test_only_so_many_models_are_kept_in_memory(folder: Path) -> None:
    for version in range(20, 20 + MAX_KEPT):
        write_tiny_model(folder, version=str(version), seed=version)
    known = registry(folder)
    first = known.model(folder / "tiny" / "1")
    assert known.model(folder / "tiny" / "1") is first
    for version in range(20, 20 + MAX_KEPT):
        known.model(folder / "tiny" / str(version))
    again = known.model(folder / "tiny" / "1")
    assert again is not first
    assert again.sha256 == first.sha256


def test_there_is_a_limit_to_aliases(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zeile.service.registry.MAX_ALIASES", 2)
    known = registry(folder)
    known.alias("a", "tiny/1")
    known.alias("b", "tiny/1")
    with pytest.raises(Conflict, match="there are 2 aliases"):
        known.alias("c", "tiny/1")
    known.alias("b", "tiny/2")


def test_a_model_that_fails_its_test_is_not_pointed_to(folder: Path) -> None:
    class Failing:
        def prove(self, model: Model) -> None:
            raise BadManifest("its integers are wrong")

        def drop(self, folder: Path) -> None: ...

        def opened(self) -> frozenset[Path]:
            return frozenset()

    known = registry(folder)
    assert known.resolve(None) == folder / "tiny" / "1"
    known.attach(Failing())
    with pytest.raises(Conflict, match="its integers are wrong; 'default' still points to where it did"):
        known.alias("default", "tiny/2")
    with pytest.raises(Conflict, match="its integers are wrong; tiny/2 is not loaded"):
        known.load("tiny/2")
    assert known.resolve(None) == folder / "tiny" / "1"

# SPDX-License-Identifier: Apache-2.0
"""API keys: the file, the command, and the door."""

from __future__ import annotations

import io
import json
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from tests.models import line_png
from tests.service.serving import refused, serving

from zeile.cli import main
from zeile.errors import BadSettings
from zeile.service.app import create_app
from zeile.service.key_door import OPEN
from zeile.service.keys import SCOPES, Key, KeyFile, made, read_keys, write_keys
from zeile.settings import Settings

PNG = {"content-type": "image/png"}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A key for each scope, by its name; and where the file is."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    pairs = {scope: made(f"key-{scope}", [scope]) for scope in SCOPES}
    write_keys(path, [key for _, key in pairs.values()])
    return {scope: secret for scope, (secret, _) in pairs.items()} | {"path": str(path)}


@pytest.fixture(scope="module")
def locked(models: Path, secrets: dict[str, str]) -> Iterator[httpx.Client]:
    with serving(Settings(models=models, model="tiny/1", keys=Path(secrets["path"]))) as client:
        yield client


def test_the_file_holds_no_key_and_is_its_owners_alone(tmp_path: Path) -> None:
    secret, key = made("archive", ["read"])
    write_keys(tmp_path / "keys.json", [key])
    text = (tmp_path / "keys.json").read_text("utf-8")
    assert secret not in text
    assert secret.removeprefix("zeile_") not in text
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert read_keys(tmp_path / "keys.json") == (key,)
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


def test_keys_are_long_and_never_the_same() -> None:
    assert len({made("a", ["read"])[0] for _ in range(100)}) == 100
    assert len(made("a", ["read"])[0]) >= 6 + 43  # 256 bits in base64


def test_a_running_service_sees_keys_come_and_go(tmp_path: Path) -> None:
    first, second = made("first", ["read"]), made("second", ["read", "measure"])
    path = tmp_path / "keys.json"
    write_keys(path, [first[1]])
    keys = KeyFile(path)
    assert (keys.find(first[0]), keys.find(second[0])) == (first[1], None)
    write_keys(path, [second[1]])
    assert (keys.find(first[0]), keys.find(second[0])) == (None, second[1])
    assert keys.find("") is None
    assert keys.find("zeile_" + "\udcff" * 43) is None


def test_a_damaged_change_leaves_the_keys_as_they_were(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret, key = made("first", ["read"])
    path = tmp_path / "keys.json"
    write_keys(path, [key])
    keys = KeyFile(path)
    path.write_text("{", "utf-8")
    assert keys.find(secret) == key
    path.unlink()
    assert keys.find(secret) == key
    assert len([record for record in caplog.records if "stay good" in record.getMessage()]) == 2


KEY: dict[str, Any] = {"name": "a", "sha256": "0" * 64, "scopes": ["read"], "created": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "mend it"),
        ("[" * 100_000, "mend it"),
        ("[]", "not an object"),
        ({"keys": {}}, "a list"),
        ({"keys": [], "more": 1}, "not an object"),
        ({"keys": [{}]}, "not an object of name"),
        ({"keys": [KEY | {"more": 1}]}, "not an object of name"),
        ({"keys": [KEY | {"name": "a b"}]}, "1 to 64 letters"),
        ({"keys": [KEY | {"name": 1}]}, "1 to 64 letters"),
        ({"keys": [KEY | {"name": "x" * 65}]}, "1 to 64 letters"),
        ({"keys": [KEY | {"sha256": "0" * 63}]}, "64 hexadecimal"),
        ({"keys": [KEY | {"sha256": None}]}, "64 hexadecimal"),
        ({"keys": [KEY | {"scopes": []}]}, "no scope"),
        ({"keys": [KEY | {"scopes": "read"}]}, "list of names"),
        ({"keys": [KEY | {"scopes": ["root"]}]}, "there are read, measure"),
        ({"keys": [KEY | {"created": 5}]}, "not a time"),
        ({"keys": [KEY, KEY]}, "the same name"),
    ],
)
def test_files_that_hold_no_keys_are_refused(tmp_path: Path, content: object, says: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    path.chmod(0o600)
    with pytest.raises(BadSettings, match=says):
        read_keys(path)


def test_a_file_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, [made("a", ["read"])[1]])
    path.chmod(0o620)
    with pytest.raises(BadSettings, match="chmod 600"):
        read_keys(path)


def test_the_service_does_not_start_without_its_keys(models: Path, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="zeile keys add"):
        create_app(Settings(models=models, keys=tmp_path / "none.json"))


def test_the_command_makes_lists_and_revokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "keys.json")
    assert main(["keys", "add", "archive", "--file", path]) == 0
    secret = capsys.readouterr().out.strip()
    assert main(["keys", "add", "lab", "--scopes", "read, measure", "--file", path]) == 0
    capsys.readouterr()
    assert main(["keys", "list", "--file", path]) == 0
    listed = [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()]
    assert listed == [["archive", "read"], ["lab", "read,measure"]]
    keys = KeyFile(Path(path))
    found = keys.find(secret)
    assert found is not None
    assert found.name == "archive"
    assert main(["keys", "revoke", "archive", "--file", path]) == 0
    assert keys.find(secret) is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "lab"], "already"),
        (["add", "two words"], "1 to 64 letters"),
        (["add", "new", "--scopes", "all"], "there are read"),
        (["revoke", "nobody"], "it has lab"),
    ],
)
def test_wrong_commands_say_what_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, [Key("lab", "0" * 64, ("read",), "2026-01-01T00:00:00Z")])
    before = path.read_bytes()
    assert main(["keys", *words, "--file", str(path)]) == 2
    assert says in capsys.readouterr().err
    assert path.read_bytes() == before


def test_without_a_file_the_command_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list"]) == 2
    assert "--file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("zeile_wrong"),
        bearer("."),
        {"authorization": "Basic emVpbGU6eg=="},
        {"authorization": "Bearer"},
        {"x-api-key": "wrong"},
    ],
    ids=["none", "unknown", "short", "basic", "no-secret", "other-header"],
)
def test_nobody_passes_without_a_key(locked: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/v1/recognize"), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/none")):
        response = locked.request(method, path, headers=headers)
        refused(response, 401, "no-key")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_key_opens_what_its_scopes_name(locked: httpx.Client, secrets: dict[str, str]) -> None:
    asked = {
        "read": ("POST", "/v1/recognize"),
        "measure": ("POST", "/v1/measure"),
        "models": ("POST", "/v1/models/tiny/1/load"),
        "metrics": ("GET", "/metrics"),
    }
    for needed, (method, path) in asked.items():
        for held in SCOPES:
            response = locked.request(method, path, headers=bearer(secrets[held]))
            if held in (needed, "admin"):
                assert response.status_code not in (401, 403), (path, held, response.text)
            else:
                assert needed in refused(response, 403, "not-allowed")


def test_what_one_key_may_do_is_not_remembered_for_another(locked: httpx.Client, secrets: dict[str, str]) -> None:
    def ask(headers: dict[str, str]) -> httpx.Response:
        return locked.post("/v1/recognize?beam=4&alternatives=2", content=line_png(1), headers=PNG | headers)

    for _ in range(2):
        assert ask(bearer(secrets["read"])).status_code == 200
        refused(ask(bearer(secrets["metrics"])), 403, "not-allowed")
        refused(ask({}), 401, "no-key")


def test_a_key_may_come_in_a_header_of_its_own(locked: httpx.Client, secrets: dict[str, str]) -> None:
    headers = PNG | {"x-api-key": secrets["read"]}
    assert locked.post("/v1/recognize", content=line_png(1), headers=headers).status_code == 200


def test_the_page_and_what_balancers_ask_need_no_key(locked: httpx.Client) -> None:
    for path in ("/", "/livez", "/readyz", "/openapi.json", "/static/page.css"):
        assert locked.get(path).status_code == 200, path


def test_the_description_says_where_a_key_is_needed(locked: httpx.Client, service: httpx.Client) -> None:
    described = locked.get("/openapi.json").json()
    assert set(described["components"]["securitySchemes"]) == {"bearer", "header"}
    assert described["paths"]["/v1/recognize"]["post"]["security"] == [{"bearer": []}, {"header": []}]
    assert "security" not in described["paths"]["/livez"]["get"]
    assert "securitySchemes" not in service.get("/openapi.json").json()["components"]


def test_paths_that_look_open_are_not(locked: httpx.Client) -> None:
    for path in ("/static/../v1/models", "//v1/models", "/livez/../v1/models", "/static/%2e%2e/v1/models"):
        assert locked.get(path).status_code in (401, 404), path


def test_every_endpoint_asks_for_a_scope_or_is_meant_to_be_open(models: Path) -> None:
    app = create_app(Settings(models=models))
    routes = [route for route in _routes(app.routes) if isinstance(route, APIRoute)]
    assert len(routes) > 5
    for route in routes:
        asks = [d.call for d in route.dependant.dependencies if "requires" in getattr(d.call, "__qualname__", "")]
        assert asks or route.path in OPEN, f"{route.path} is open to everybody: add requires(...)"


def _routes(routes: Any) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from _routes(inner.routes) if inner is not None else (route,)


def test_keys_are_never_in_the_log(models: Path, secrets: dict[str, str]) -> None:
    written = io.StringIO()
    handler, root = logging.StreamHandler(written), logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    try:
        with serving(Settings(models=models, model="tiny/1", keys=Path(secrets["path"]))) as client:
            for secret in (secrets["read"], secrets["admin"]):
                client.post("/v1/recognize", content=b"x", headers=PNG | bearer(secret))
                client.get("/metrics", headers={"x-api-key": secret})
                client.get("/v1/models", headers=bearer(secret + "x"))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert not [secret for name, secret in secrets.items() if name != "path" and secret[6:] in written.getvalue()]

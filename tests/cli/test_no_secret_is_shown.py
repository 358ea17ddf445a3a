"""No command repeats a token, a password or a value that it was given wrongly: on either stream, or in an error."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from ndb_models.cli.main import main
from ndb_models.engine import Engine
from ndb_models.errors import NdbError
from ndb_models.server.configuration import configure
from ndb_models.server.setting_fields import Setting
from ndb_models.server.settings import SETTINGS
from ndb_models.stores.memory import MemoryStore
from tests.leaks import CANARY, leaks_of

pytestmark = pytest.mark.slow

# As long as a bearer token has to be, and no longer a word.
TOKEN = f"{CANARY}-{'Zm9vYmFy' * 2}"
SESSION = "16204359010587816757"
SECRETS = {
    "a bearer token": TOKEN,
    "the token of a session": SESSION,
    "a password": f"wss://user:{CANARY}@sessions.example.org:1987/",
    "a user": f"ws://{CANARY}@[::1/",
    "a port": f"ws://127.0.0.1:{CANARY}/",
    "an option of a file": f"sqlite:///a.db?busy_timeout={CANARY}",
    "an option that is none": f"sqlite:///a.db?password={CANARY}",
    "a fragment": f"ws://127.0.0.1:1/#{CANARY}",
    "a query of a data set": f"snapshot:///.?keys=a&token={CANARY}",
    "another store": f"redis://:{CANARY}@127.0.0.1/0",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("NDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that fails; return all that it wrote."""
    try:
        status: object = main(arguments)
    except SystemExit as exc:
        status = exc.code
    assert status != 0
    captured = capsys.readouterr()
    return captured.out + captured.err


def is_shown(text: str) -> bool:
    """Tell whether a secret, or the beginning of one, stands in a text."""
    return CANARY[:8] in text or SESSION[:10] in text


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_of_a_setting_of_the_server(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # What keeps a server from starting where a value is right.
    stopper = ("--log-format", "none") if setting.name != "log_format" else ("--log-level", "none")
    for kind, secret in SECRETS.items():
        given = (f"{setting.flag}={secret}",)
        assert not is_shown(said(capsys, "serve", *given, *stopper)), kind
        with monkeypatch.context() as changed:
            changed.setenv(setting.variable, secret)
            assert not is_shown(said(capsys, "serve", *stopper)), kind


@pytest.mark.parametrize("kind", SECRETS)
def test_of_any_other_argument(kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    secret = SECRETS[kind]
    (Path.cwd() / "a.db").touch()
    lines = [
        (secret,),
        *((command, secret) for command in ("serve", "health", "copy", "backup", "schema")),
        *((command, f"--{secret}") for command in ("serve", "health", "copy", "backup", "schema")),
        *(("serve", "--config", secret), ("health", "--config", secret), ("health", "--port", secret)),
        ("health", "--tls-cert", secret),
        ("copy", "--from", secret, "--to", "sqlite:///b.db"),
        ("copy", "--from", "snapshot:///.?keys=a", "--to", secret),
        ("copy", "--from", secret, "--to", secret, "--only", secret),
        ("copy", "--from", "sqlite:///a.db", "--to", "ws://127.0.0.1:1/", "--token-file", secret),
        ("copy", "--from", "sqlite:///a.db", "--to", "ws://127.0.0.1:1/", "--max-payload", secret),
        ("backup", "--store", secret, "--to", "b.db"),
        ("schema", "check", secret),
        ("schema", "freeze", f"json:{secret}", "--dir", "."),
        *((group, secret) for group in ("info", "sessions", "keys", "tokens")),
        *((*command, f"--{secret}") for command in (("info",), ("sessions", "ls"), ("keys", "get"), ("tokens", "new"))),
        ("info", "--store", secret),
        ("info", "--store", "ws://127.0.0.1:1/", "--token-file", secret),
        ("info", "--store", "ws://127.0.0.1:1/", "--max-payload", secret),
        ("sessions", "ls", "--limit", secret),
        ("sessions", "ls", "--store", "sqlite:///a.db", "--model", secret),
        ("sessions", "ls", "--store", "sqlite:///a.db", "--where", secret.replace("=", ":")),
        ("sessions", "show", secret, "--store", "sqlite:///a.db"),
        ("sessions", "end", secret, "--store", "sqlite:///a.db"),
        ("sessions", "import", "a.db", "--existing", secret),
        ("keys", "set", "a", f"{secret} {secret}", "--store", "sqlite:///a.db"),
        ("keys", "watch", "a", "--every", secret),
        ("tokens", "new", "--role", secret),
    ]
    for line in lines:
        assert not is_shown(said(capsys, *line)), [part.replace(secret, "SECRET") for part in line]
    for variable in ("NDB_CONFIG", "NDB_TOKEN", "NDB_ADMIN_TOKEN"):
        with monkeypatch.context() as changed:
            changed.setenv(variable, f"{secret} ")
            assert not is_shown(said(capsys, "serve", "--log-level", "none")), variable
            copying = ("copy", "--from", "sqlite:///a.db", "--to", "ws://127.0.0.1:1/", "--only", "keys")
            assert not is_shown(said(capsys, *copying)), variable


@pytest.mark.parametrize(
    "content",
    [
        TOKEN.encode(),
        f"root:{TOKEN}".encode(),
        f"data:{TOKEN}".encode() + b"\xff",
        f"data:{TOKEN} {TOKEN}".encode(),
        f"data:{CANARY}".encode(),
    ],
    ids=["no role", "an unknown role", "no UTF-8", "two", "too short"],
)
def test_of_a_token_file(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(content)
    assert not is_shown(said(capsys, "serve", "--token-file", str(path)))
    copying = ("copy", "--from", "sqlite:///a.db", "--to", "ws://127.0.0.1:1/", "--token-file", str(path))
    assert not is_shown(said(capsys, *copying))
    with pytest.raises(NdbError) as refused:
        configure({"token_file": str(path)}, {})
    assert leaks_of(refused.value) == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"version": 5, "ndb_models": {"store": "mysql://:CANARY@h/0"}}',
        b'{"version": 5, "ndb_models": {"tokenFile": "CANARY-1234567890"}}',
        b'{"version": 5, "port": "ws://:CANARY@h"}',
        b'{"version": 5, "ndb_models": {"idleTimeout": "CANARY"}}',
        b'{"version": 5, "ndb_models": {"logLevel": "CANARY"}}',
        b'{"version": "CANARY"}',
        b'["CANARY"]',
        b'{"version": 5, "a": "CANARY" "b"}',
        b'{"version": 5, "a": "CANARY\xff"}',
    ],
)
def test_of_a_configuration_file(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "server.jsonc"
    path.write_bytes(content.replace(b"CANARY", CANARY.encode()))
    assert CANARY not in said(capsys, "serve", "--config", str(path))
    with pytest.raises(NdbError) as refused:
        configure({"config": str(path)}, {})
    assert leaks_of(refused.value) == []


DAMAGED = {
    "keys": b'{"keys": {"a": "CANARY',
    "no keys": b'{"keys": ["CANARY"]}',
    "no UTF-8": b'{"keys": {"a": "CANARY\xff"}}',
    "a lone surrogate": b'{"keys": {"a": "CANARY\\ud800"}}',
    "sessions": b'[{"sh": {"tkn": "CANARY"}, "keys": {"a": "CANARY"}}]',
    "cut sessions": b'[{"sh": {"tkn": 5, "shared": false, "expiry": {}}, "keys": {"a": "CANARY"',
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_of_a_value_in_a_damaged_data_set(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_sessions = "sessions" in kind
    directory = tmp_path / "damaged" / "1700000000000000000"
    (directory / "md").mkdir(parents=True)
    (directory / "data").mkdir()
    about = {"name": "damaged", "version": 2, "status": 1, "start": 1, "complete": 2, "saveDataType": int(of_sessions)}
    (directory / "md" / "md.json").write_text(json.dumps(about))
    (directory / "data" / "0").write_bytes(DAMAGED[kind].replace(b"CANARY", CANARY.encode()))
    query = "sessions" if of_sessions else "keys"
    text = said(capsys, "copy", "--from", f"snapshot:///{tmp_path}?{query}=damaged", "--to", "sqlite:///b.db")
    assert "damaged" in text
    assert CANARY not in text
    with pytest.raises(NdbError) as refused:
        asyncio.run(Engine(MemoryStore()).load("damaged", tmp_path))
    assert leaks_of(refused.value) == []

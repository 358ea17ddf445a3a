"""Command lines, variables and files that are wrong: one line that says what and where, and status 2."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import pytest

from ndb_models.cli.main import main

FILE = Path(__file__)
CERTIFICATE = FILE.parent.parent / "transport" / "tls" / "server.pem"
SECRET = secrets.token_urlsafe(24)

Run = tuple[int, str, str]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> Run:
    """Run a command in this process; return its status, and what it wrote to either stream."""
    try:
        status = main(arguments)
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 0
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("NDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


# The command line, and what the one line says: the flag that is wrong, and what to write.
BAD: list[tuple[str, *tuple[str, ...]]] = [
    ("srve", "'srve'", "did you mean serve?"),
    ("helth", "did you mean health?"),
    ("cpoy --from a", "did you mean copy?"),
    ("start", "serve, health"),
    ("Serve", "did you mean serve?"),
    ("--verison", "--verison", "did you mean --version?"),
    ("--port 5 serve", "--port"),
    ("serve --prot 5", "--prot", "did you mean --port?"),
    ("serve --max-payloads=5", "--max-payloads", "did you mean --max-payload?"),
    ("serve --max", "--max"),
    ("serve -p 5", "-p"),
    ("serve 1987", "takes no"),
    ("serve --port", "--port needs a value: --port N"),
    ("serve --port --insecure", "--port needs a value: --port N"),
    ("serve --port=", "--port: '' is not a number"),
    ("serve --port many", "--port: 'many' is not a number", "0 to 65535"),
    ("serve --port 1_987", "--port: '1_987' is not a number"),
    ("serve --port ١٩٨٧", "--port: '١٩٨٧' is not a number"),
    ("serve --port 65536", "--port: 65536 is not between 0 and 65535"),
    ("serve --port -1", "--port: -1 is not between 0 and 65535"),
    ("serve --port 1.5", "--port: '1.5' is not a number"),
    ("serve --port " + "9" * 5000, "--port:"),
    ("serve --store mysql://x", "--store: ", "memory://", "sqlite:///"),
    ("serve --store sessions.db", "--store: ", "sqlite:///"),
    ("serve --store sqlite://sessions.db", "--store: ", "sqlite:///"),
    ("serve --store sqlite:///", "--store: "),
    ("serve --store sqlite:///a.db?synchronous=off", "--store: ", "'full' or 'normal'"),
    ("serve --store sqlite:///a.db?busy_timeout=long", "--store: "),
    ("serve --store sqlite:///a.db?canary=1", "--store: ", "'canary'"),
    ("serve --store sqlite:///a.db?persist_path=.", "--store: ", "--persist-path"),
    ("serve --store sqlite:///:memory:", "--store: ", "memory://"),
    ("serve --store memory://shared", "--store: "),
    ("serve --store ws://127.0.0.1:1987/", "--store: "),
    ("serve --store http://[", "--store: ", "malformed"),
    ("serve --store", "--store needs a value: --store URI"),
    ("serve --persist-path missing", "--persist-path: missing is not a directory"),
    ("serve --persist-path {file}", "--persist-path: ", "is not a directory"),
    ("serve --load-name keys", "--load-name: ", "--load-path"),
    ("serve --load-path missing", "--load-path: missing is not a directory"),
    ("serve --token-file missing", "--token-file: missing is not a file"),
    ("serve --token-file .", "--token-file: . is not a file"),
    ("serve --token-file {file}", "--token-file: ", "line 1: a line is data:TOKEN or admin:TOKEN"),
    ("serve --tls-cert missing", "--tls-cert: missing is not a file"),
    ("serve --tls-cert {file}", "--tls-cert: ", "--tls-key"),
    ("serve --tls-key {file}", "--tls-key: ", "--tls-cert"),
    ("serve --tls-cert {file} --tls-key {file}", "--tls-cert: ", "no certificate with its key"),
    ("serve --allow-origin *", "--allow-origin: an origin is like https://app.example.org"),
    ("serve --allow-origin https://a.example/path", "--allow-origin: an origin is like"),
    ("serve --insecure=yes", "--insecure takes no value"),
    ("serve --host 192.0.2.1", "--host: ", "--insecure"),
    ("serve --host=", "--host: ", "--insecure"),
    ("serve --max-payload 63", "--max-payload: 63 is not between 64"),
    ("serve --max-nesting 513", "--max-nesting: 513 is not between 3 and 512"),
    ("serve --max-connections 0", "--max-connections: 0 is not between"),
    ("serve --max-in-flight no", "--max-in-flight: 'no' is not a number"),
    ("serve --search-timeout 0", "--search-timeout: 0 is not between"),
    ("serve --max-search-nodes 0", "--max-search-nodes: 0 is not between"),
    ("serve --max-search-results many", "--max-search-results: 'many' is not a number"),
    ("serve --max-containers 2", "--max-containers: 2 is not between"),
    ("serve --max-answer 1023", "--max-answer: 1023 is not between"),
    ("serve --max-sessions 0", "--max-sessions: 0 is not between"),
    ("serve --max-keys -5", "--max-keys: -5 is not between"),
    ("serve --max-bytes 1e9", "--max-bytes: '1e9' is not a number"),
    ("serve --max-keys 5 --store sqlite:///a.db", "--max-keys: ", "--store"),
    ("serve --open-timeout 0", "--open-timeout: 0 is not between"),
    ("serve --send-timeout nan", "--send-timeout: nan is not between"),
    ("serve --receive-timeout inf", "--receive-timeout: inf is not between"),
    ("serve --close-timeout 5s", "--close-timeout: '5s' is not a number of seconds"),
    ("serve --idle-timeout -1", "--idle-timeout: -1 is not between"),
    ("serve --stop-timeout soon", "--stop-timeout: 'soon' is not a number of seconds"),
    ("serve --stop-timeout 1_0", "--stop-timeout: '1_0' is not a number of seconds"),
    ("serve --workers 0", "--workers: 0 is not between"),
    ("serve --workers 2", "--workers: ", "sqlite:///"),
    ("serve --log-level loud", "--log-level: ", "debug, info, warning, error"),
    ("serve --log-level INFO", "--log-level: ", "debug, info, warning, error"),
    ("serve --log-format xml", "--log-format: ", "text, json"),
    ("serve --config missing", "--config: missing cannot be read: No such file or directory"),
    ("serve --config .", "--config: . cannot be read: Is a directory"),
    ("serve --config {file}", "--config: ", "line 1, column "),
    ("health --port many", "--port: 'many' is not a number"),
    ("health --port 0", "--port: ", "1987"),
    ("health --store memory://", "--store"),
    ("health --config missing", "--config: missing cannot be read"),
    ("health now", "takes no"),
    ("copy", "--from URI", "--to URI"),
    ("copy --from sqlite:///a.db", "--to URI"),
    ("copy --from sqlite:///missing.db --to sqlite:///b.db", "--from: there is no file missing.db"),
    ("copy --from mysql://x --to sqlite:///b.db", "--from: ", "sqlite:///PATH"),
    ("copy --from ws://127.0.0.1:1/ --to sqlite:///b.db", "--from: ", "snapshot:///"),
    ("copy --from snapshot:///.?sessions=a --to mysql://x", "--to: ", "sqlite:///PATH"),
    ("copy --from snapshot:///.?sessions=a --to memory://", "--to: ", "sqlite:///PATH"),
    ("copy --from snapshot:///. --to sqlite:///b.db", "--from: "),
    ("copy --from snapshot:///.?keys=a --to snapshot:///.?sessions=b", "--to: ", "keys"),
    ("copy --from snapshot:///.?keys=a --to sqlite:///b.db --only sessions", "--from: ", "sessions"),
    ("copy --from a --to b --only values", "--only: 'values' is not one of keys, sessions"),
    ("copy --form a --to b", "there is no flag --form, did you mean --from?"),
    ("backup --stroe=sqlite:///a.db", "there is no flag --stroe, did you mean --store?"),
    ("schema check --dirr", "did you mean --dir?"),
    ("schema chek models", "did you mean check?"),
    ("schema check", "MODULE[:NAME]"),
    ("schema check missing_module", "missing_module cannot be imported"),
    ("schema check json --dirr x", "did you mean --dir?"),
    ("schema freeze --dir", "--dir needs a value: --dir DIR"),
    ("schema freeze --exact json", "--exact"),
    ("info", "--store URI is missing", "NDB_STORE"),
    ("info --store", "--store needs a value: --store URI"),
    ("info --store memory://", "--store: ", "name a file"),
    ("info --store sqlite:///missing.db", "--store: there is no file missing.db"),
    ("info --store mysql://x", "--store: ", "sqlite:///sessions.db"),
    ("info --store sessions.db", "--store: ", "three slashes"),
    ("backup --to b.db", "--store URI is missing", "NDB_STORE"),
    ("info --store sqlite:///{file}?synchronous=off", "--store: "),
    ("info --store redis://", "--store: "),
    ("info --store redis://127.0.0.1?prefx=a", "--store: "),
    ("info --store ws://", "--store: "),
    ("info --store sqlite:///{file} --token-file {file}", "--token-file: it is for a server"),
    ("info --store ws://127.0.0.1:1/ --max-payload many", "--max-payload: 'many' is not a number"),
    ("info --store ws://127.0.0.1:1/ --token-file missing", "--token-file: missing is not a file"),
    ("info now", "takes no argument"),
    ("sessions list", "did you mean ls?"),
    ("sessions expor", "did you mean export?"),
    ("sessions ls --limit many", "--limit: 'many' is not a whole number"),
    ("sessions ls --limit 0", "--limit: 0 is too small"),
    ("sessions ls --where", "--where needs a value: --where FIELD=VALUE"),
    ("sessions ls --where user_id --store sqlite:///{file}", "--where: ", "FIELD=VALUE"),
    ("sessions ls --where a=1 --where a=2 --store sqlite:///{file}", "--where: ", "twice"),
    ("sessions ls --namespace shop --store sqlite:///{file}", "--namespace: ", "--schema"),
    ("sessions ls --schema A --model tests.cli.session_models --store sqlite:///{file}", "--schema: "),
    ("sessions ls --model tests.cli.session_models --store sqlite:///{file}", "--model: ", "OneTime, Shopper"),
    ("sessions ls --model missing_module --store sqlite:///{file}", "missing_module cannot be imported"),
    ("sessions ls --model tests.cli.session_models:No --store sqlite:///{file}", "no session model 'No'"),
    ("sessions ls --scheam A", "did you mean --schema?"),
    ("sessions ls TKN", "takes no argument"),
    ("sessions show", "TKN is missing"),
    ("sessions show 1 2", "takes no more arguments"),
    ("sessions show --show-value 1", "did you mean --show-values?"),
    ("sessions show --json=yes 1", "--json takes no value"),
    ("sessions end --store sqlite:///{file}", "no sessions are named", "--where"),
    ("sessions end 5 --where a=1 --store sqlite:///{file}", "either these or tokens"),
    ("sessions end --where a=1 --yes=1", "--yes takes no value"),
    ("sessions export --to", "--to needs a value: --to FILE"),
    ("sessions export --to --overwrite", "--to needs a value: --to FILE"),
    ("sessions import", "FILE is missing"),
    ("sessions import missing --store sqlite:///b.db", "FILE: missing cannot be read"),
    ("sessions import {file} --store sqlite:///b.db", "line 1: this is no session"),
    (
        "sessions import {file} --existing never --store sqlite:///b.db",
        "--existing: 'never' is not one of refuse, skip",
    ),
    ("keys get", "KEY is missing"),
    ("keys set", "KEY and VALUE are missing"),
    ("keys set a", "VALUE is missing"),
    ("keys set a {b} --store sqlite:///{file}", "VALUE: this is not JSON"),
    ("keys set a NaN --store sqlite:///{file}", "VALUE: this is not JSON"),
    ("keys set __ndb__:a:b:c 1 --store sqlite:///{file}", "KEY: ", "index of sessions"),
    ("keys rm __ndb__:a:b:c --store sqlite:///{file}", "KEY: ", "index of sessions"),
    ("keys watch a --every soon", "--every: 'soon' is not a number"),
    ("keys watch a --every 0", "--every: 0 is too small"),
    ("keys watch a --every nan", "--every: nan is too small"),
    ("keys watch a --changes 0", "--changes: "),
    ("tokens nwe", "did you mean new?"),
    ("tokens new --role root", "--role: 'root' is not one of data, admin"),
    ("tokens new --add-to tokens", "--add-to: ", "--role"),
    ("tokens new --role data --add-to missing/tokens", "--add-to: missing/tokens cannot be written"),
    ("schema check --force json", "--force"),
]


@pytest.mark.parametrize(("line", "said"), [(line, said) for line, *said in BAD], ids=[line[:60] for line, *_ in BAD])
def test_a_bad_command_line_is_status_2_and_one_line(
    line: str, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, errors = run(capsys, *(part.replace("{file}", str(FILE)) for part in line.split()))
    assert (status, output) == (2, "")
    assert errors.startswith("ndb-models")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert "usage:" not in errors
    for words in said:
        assert words in errors, errors


@pytest.mark.parametrize("line", ["", "sessions", "keys", "tokens", "schema", "config"])
def test_a_command_line_without_a_command_is_status_2_and_the_help(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, errors = run(capsys, *line.split())
    assert (status, output) == (2, "")
    assert run(capsys, *line.split(), "--help") == (0, errors, "")


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("NDB_PORT", "many", "NDB_PORT: 'many' is not a number"),
        ("NDB_STORE", "mysql://x", "NDB_STORE: "),
        ("NDB_WORKERS", "2", "NDB_WORKERS: "),
        ("NDB_HOST", "192.0.2.1", "NDB_HOST: "),
        ("NDB_TLS_CERT", str(FILE), "NDB_TLS_CERT: "),
        ("NDB_LOAD_NAME", "keys", "NDB_LOAD_NAME: "),
        ("NDB_ALLOW_ORIGIN", "https://a.example,*", "NDB_ALLOW_ORIGIN: "),
        ("NDB_INSECURE", "maybe", "NDB_INSECURE: "),
        ("NDB_CONFIG", "missing", "NDB_CONFIG: missing cannot be read"),
        ("NDB_TOKEN_FILE", str(FILE), "NDB_TOKEN_FILE: "),
        ("NDB_TOKEN", "short", "NDB_TOKEN: "),
        ("NDB_ADMIN_TOKEN", "short", "NDB_ADMIN_TOKEN: "),
    ],
)
def test_a_bad_variable_is_status_2_and_one_line_that_names_it(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    status, output, errors = run(capsys, "serve", "--port", "0") if variable != "NDB_PORT" else run(capsys, "serve")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert complaint in errors


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"version": 5, "port": 65536}', "port in server.jsonc: 65536 is not between"),
        ('{"version": 5, "ip": "192.0.2.1"}', "ip in server.jsonc: "),
        ('{"version": 5, "ndb_models": {"store": "mysql://x"}}', "ndb_models.store in server.jsonc: "),
        ('{"version": 5, "ndb_models": {"workers": 2}}', "ndb_models.workers in server.jsonc: "),
        ('{"version": 5, "ndb_models": {"prot": 2}}', "ndb_models.prot in server.jsonc: there is no such setting"),
        ('{"version": 4}', "server.jsonc: 'version' must be 5 or 6"),
        ('{"version": 5, "a": ' + "[" * 3000 + "]" * 3000 + "}", "server.jsonc: nested deeper than 512 levels"),
    ],
)
def test_a_bad_key_of_the_file_is_status_2_and_one_line_that_names_it(
    text: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "server.jsonc").write_text(text)
    status, output, errors = run(capsys, "serve", "--config", "server.jsonc")
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert complaint in errors


@pytest.mark.parametrize(
    "line",
    [
        ("serve", "--token", SECRET),
        ("serve", f"--token={SECRET}"),
        ("serve", SECRET),
        ("serve", "--insecure=" + SECRET),
        ("serve", "--store", f"mysql://:{SECRET}@127.0.0.1/0"),
        ("copy", "--from", f"mysql://:{SECRET}@127.0.0.1/0", "--to", "sqlite:///b.db"),
        ("copy", "--from", "snapshot:///.?keys=a", "--to", f"mysql://:{SECRET}@127.0.0.1/0"),
        ("copy", "--from", "a", "--to", "b", "--password", SECRET),
        ("sessions", SECRET),
        ("sessions", "show", SECRET, "--store", f"sqlite:///{FILE}"),
        ("sessions", "show", "1", "--store", f"redis://:{SECRET}@127.0.0.1/0?no=1"),
        ("sessions", "ls", "--where", SECRET, "--store", f"sqlite:///{FILE}"),
        ("sessions", "ls", f"--{SECRET}"),
        ("sessions", "ls", "--limit", SECRET),
        ("keys", "set", "a", SECRET, "--store", f"sqlite:///{FILE}"),
        ("keys", "watch", "a", "--every", SECRET),
        ("tokens", "new", "--role", SECRET),
    ],
)
def test_no_secret_of_a_bad_command_line_is_repeated(line: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = run(capsys, *line)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert SECRET not in errors


HELP = [
    *((), ("serve",), ("health",), ("copy",), ("backup",), ("audit",), ("info",)),
    *(("schema",), ("schema", "check"), ("schema", "freeze")),
    *(("sessions",), *(("sessions", name) for name in ("ls", "show", "end", "export", "import"))),
    *(("keys",), *(("keys", name) for name in ("ls", "get", "set", "rm", "watch"))),
    *(("tokens",), ("tokens", "new")),
]


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_is_in_sentences_and_names_the_exit_statuses(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, output, errors = run(capsys, *command, "--help")
    assert (status, errors) == (0, "")
    assert "exit status:" in output
    description = output.split("\n\n")[1].strip()
    assert description[0].isupper()
    assert description.endswith(".")
    assert "for ci" not in output


def test_health_has_a_usage_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, output, _ = run(capsys, "health", "--help")
    assert "--port" in output
    for of_serve in ("--store", "--max-payload", "--workers", "--log-level"):
        assert of_serve not in output

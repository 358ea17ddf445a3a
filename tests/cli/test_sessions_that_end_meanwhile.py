"""What commands make of sessions that end while they are read, of many pages, and of rare flags and files."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ndb_models import InvalidArgumentError, NdbClient, Repository
from ndb_models.cli.config_values import shown_fields
from ndb_models.cli.main import make_parser
from ndb_models.cli.progress import Progress
from ndb_models.cli.session_file import parsed_line
from ndb_models.cli.session_selection import PAGE, Selection, selected
from ndb_models.cli.sessions import described
from ndb_models.cli.unknown_fields import hint_at_unknown_fields
from ndb_models.errors import ResponseError
from ndb_models.protocol.statuses import Status
from tests.cli.running import run
from tests.cli.session_models import OneTime, Shopper
from tests.configuration.models import App
from tests.conftest import VirtualClock
from tests.interposed import InterposedClient

ALL = Selection()
DARK = Selection(where={"theme": [b'"dark"']})


@pytest.fixture
def client() -> InterposedClient:
    return InterposedClient()


async def shopper(client: NdbClient, device: str = "phone") -> int:
    return (await Repository(client, Shopper).save(Shopper(user_id=7, device=device))).tkn or 0


async def tokens(client: NdbClient, selection: Selection) -> list[int]:
    return [each.tkn async for page in selected(client, selection) for each in page]


async def test_a_session_that_ends_before_it_is_described_is_left_out(client: InterposedClient) -> None:
    kept, ended = await shopper(client), await shopper(client, "laptop")
    selection = Selection(schema="cli-shopper")
    client.before("SH_INFO", lambda: client.sh_end(ended))
    found = [facts.tkn async for page in described(client, selection) for facts in page]
    assert found == [kept]


async def test_a_description_that_is_refused_ends_the_list(client: InterposedClient) -> None:
    await shopper(client)
    client.refuse_all("SH_INFO", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        [page async for page in described(client, Selection(schema="cli-shopper"))]


async def test_a_limit_reaches_over_pages(client: InterposedClient) -> None:
    repo = Repository(client, OneTime)
    for number in range(PAGE + 10):
        await repo.save(OneTime(code=str(number)))
    selection = Selection(schema="cli-one-time")
    pages = [page async for page in described(client, selection, PAGE + 5)]
    assert [len(page) for page in pages] == [PAGE, 5]


async def test_sessions_with_a_value_are_found_on_every_page(client: InterposedClient) -> None:
    one_time = Repository(client, OneTime)
    wanted = await one_time.save(OneTime(code="wanted"))
    for number in range(PAGE + 10):
        await one_time.save(OneTime(code=str(number)))
    assert await tokens(client, Selection(where={"code": [b'"wanted"']})) == [wanted.tkn]


async def test_a_session_that_ends_before_its_values_are_read_has_none_of_them(client: InterposedClient) -> None:
    tkn = await shopper(client)
    client.before("SH_PEEK", lambda: client.sh_end(tkn))
    assert await tokens(client, DARK) == []


async def test_values_that_cannot_be_read_end_the_search(client: InterposedClient) -> None:
    await shopper(client)
    client.refuse_all("SH_PEEK", Status.COMMAND_DISABLED)
    with pytest.raises(ResponseError):
        await tokens(client, DARK)


async def test_a_value_that_fits_the_class_in_no_way_is_refused_by_the_flag(client: InterposedClient) -> None:
    selection = Selection(model=Shopper, where={"user_id": [b'"seven"']})
    with pytest.raises(InvalidArgumentError, match=r"^--where: "):
        await tokens(client, selection)


async def test_a_class_whose_fields_were_checked_gets_no_hint(
    client: InterposedClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await shopper(client)
    await hint_at_unknown_fields(client, Selection(model=Shopper, where={"them": [b'"dark"']}))
    assert capsys.readouterr().err == ""
    await hint_at_unknown_fields(client, Selection(where={"them": [b'"dark"']}))
    assert "no session has a field" in capsys.readouterr().err


def test_a_moment_without_a_zone_is_in_utc() -> None:
    line = json.dumps({"tkn": "7", "keys": {"a": 1}, "expires": "2030-01-02T03:04:05"}).encode()
    assert parsed_line(line, "sessions.jsonl", 1).expires == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_empty_lines_of_an_import_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, store = tmp_path / "sessions.jsonl", f"sqlite:///{tmp_path / 's.db'}"
    file.write_text('\n{"tkn": "7", "keys": {"a": 1}}\n\n  \n')
    done = run(capsys, "sessions", "import", str(file), "--store", store)
    assert done.status == 0, done.errors
    assert "1 " in done.output + done.errors


def test_a_field_without_a_stored_value_is_not_shown() -> None:
    assert dict(shown_fields(App(), ["none"], full=True)) == {}


def test_a_bar_that_is_there_already_goes_on(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        written = ""

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            self.written += text
            return len(text)

        def flush(self) -> None:
            pass

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr("ndb_models.cli.progress.QUIET_SECONDS", 1.0)
    with Progress("sessions ended", clock) as progress:
        clock.move(2)
        progress.show(1, 4)
        progress.show(4, 4)
    assert "4 of 4 sessions ended" in terminal.written


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().parse_args([])
    assert ended.value.code == 2
    assert "usage: ndb-models" in capsys.readouterr().err


def test_a_mistake_that_has_no_words_of_its_own_has_those_of_the_standard_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        make_parser().error("something else is wrong")
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("ndb-models: something else is wrong")


@pytest.mark.parametrize("command", [("bench",), ("conformance", "ws://127.0.0.1:9/", "--destructive")])
def test_what_is_not_confirmed_is_not_done(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return "n\n"

    monkeypatch.setattr("sys.stdin", Terminal())
    store = ("--store", f"sqlite:///{tmp_path / 's.db'}") if command == ("bench",) else ()
    done = run(capsys, *command, *store)
    assert done.status == 1
    assert "nothing was done" in done.errors
    assert not (tmp_path / "s.db").exists()


def test_a_watch_prints_text_or_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.db").touch(0o600)
    store = ("--store", f"sqlite:///{tmp_path / 's.db'}")
    assert run(capsys, "keys", "set", "a", "1", *store).status == 0
    text = run(capsys, "keys", "watch", "a", "b", "--changes", "2", *store)
    first, second = text.output.splitlines()
    assert first.endswith("  a  1")
    assert second.endswith("  b  (there is none)")
    (line,) = run(capsys, "keys", "watch", "a", "--changes", "1", "--json", *store).lines
    assert (line["key"], line["exists"], line["value"]) == ("a", True, 1)

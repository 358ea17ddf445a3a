"""`ndb-models sessions ls`, `show` and `end`, on a file, on a server and on a Valkey."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from ndb_models import JsonValue, NdbClient, Repository
from ndb_models.engine import Engine
from ndb_models.server import NdbServer, Role, ServerOptions, Tokens
from ndb_models.stores.memory import MemoryStore
from ndb_models.tokens import format_token
from tests.cli.running import Place, run
from tests.cli.session_models import MODEL, Shopper
from tests.conftest import VirtualClock

TOKEN = "a-token-that-is-long-enough"


async def test_ls_shows_each_session_with_a_short_token(place: Place) -> None:
    saved = await place.fill()
    done = await place.run("sessions", "ls")
    assert (done.status, done.errors) == (0, "")
    header, *rows = done.output.splitlines()
    assert header.split() == ["TOKEN", "SCHEMA", "VERSION", "CREATED", "USED", "EXPIRES", "IN", "PUBLIC", "ID"]
    assert sorted(row.split()[1] for row in rows) == ["cli-shopper"] * 3 + ["shop/cli-one-time"]
    assert all(str(session.tkn) not in done.output for session in saved)


async def test_ls_prints_json_lines_with_all_facts(place: Place) -> None:
    saved = await place.fill()
    done = await place.run("sessions", "ls", "--json", "--show-tokens", "--schema", "cli-shopper")
    assert (done.status, done.errors) == (0, "")
    assert {line["tkn"] for line in done.lines} == {str(session.tkn) for session in saved}
    first = done.lines[0]
    assert (first["schema"], first["namespace"], first["version"], first["whole"]) == ("cli-shopper", None, 1, True)
    assert 1790 < first["remaining"] <= 1800
    assert len(first["public_id"]) == 22
    assert first["created"].endswith("Z")
    in_namespace = await place.run("sessions", "ls", "--json", "--schema", "cli-one-time", "--namespace", "shop")
    assert [(line["namespace"], line["schema"]) for line in in_namespace.lines] == [("shop", "cli-one-time")]


@pytest.mark.parametrize(
    ("flags", "devices"),
    [
        (("--where", "user_id=7"), {"phone", "laptop"}),
        (("--where", "user_id=7", "--schema", "cli-shopper"), {"phone", "laptop"}),
        (("--where", "user_id=7", "--model", MODEL), {"phone", "laptop"}),
        (("--where", "user_id=7", "--where", "theme=light"), {"laptop"}),
        (("--where", "user_id=7", "--where", "theme=light", "--schema", "cli-shopper"), {"laptop"}),
        (("--where", "user_id=7", "--where", "theme=light", "--model", MODEL), {"laptop"}),
        (("--where", 'cart={"apple": 1}'), {"phone"}),
        (("--where", "theme=dark", "--model", MODEL), {"phone", "tablet"}),
        (("--where", "user_id=9"), set()),
        (("--where", "user_id=9", "--schema", "cli-shopper"), set()),
        (("--where", "user_id=7", "--schema", "another"), set()),
        (("--schema", "cli-shopper"), {"phone", "laptop", "tablet"}),
        (("--model", MODEL), {"phone", "laptop", "tablet"}),
    ],
)
async def test_sessions_are_selected_by_schema_lookup_and_plain_field(
    place: Place, flags: tuple[str, ...], devices: set[str]
) -> None:
    by_token = {str(session.tkn): session.device for session in await place.fill()}
    done = await place.run("sessions", "ls", "--json", "--show-tokens", *flags)
    assert (done.status, done.errors) == (0, "")
    assert {by_token[line["tkn"]] for line in done.lines} == devices


async def test_a_session_that_ended_behind_the_index_s_back_is_not_listed(place: Place) -> None:
    saved = await place.fill()
    await place.client.sh_end(saved[0].tkn)
    for flags in (("--schema", "cli-shopper"), ("--model", MODEL), ()):
        done = await place.run("sessions", "ls", "--json", "--where", "user_id=7", *flags)
        assert len(done.lines) == 1


async def test_ls_ends_at_the_limit(place: Place) -> None:
    await place.fill()
    assert len((await place.run("sessions", "ls", "--json", "--limit", "2")).lines) == 2


async def test_no_session_is_said_and_is_no_failure(place: Place) -> None:
    done = await place.run("sessions", "ls")
    assert done == (0, "", "no session\n")
    assert (await place.run("sessions", "ls", "--json")).output == ""


@pytest.mark.parametrize("flags", [("--schema", "cli-shopper"), ()])
@pytest.mark.parametrize(("field", "said"), [("userid", "did you mean user_id?"), ("x", "there are cart, ")])
async def test_a_field_that_no_session_has_is_told_apart_from_a_value_that_none_has(
    place: Place, flags: tuple[str, ...], field: str, said: str
) -> None:
    await place.fill()
    for command in (("ls",), ("ls", "--json"), ("end", "--dry-run"), ("export",)):
        done = await place.run("sessions", *command, "--where", f"{field}=7", *flags)
        assert done.status == 0
        assert f"--where: no session has a field '{field}'" in done.errors
        assert said in done.errors
        assert "no session has" not in (await place.run("sessions", *command, "--where", "user_id=9", *flags)).errors


async def test_a_field_that_the_model_does_not_have_is_refused(place: Place) -> None:
    done = await place.run("sessions", "ls", "--model", MODEL, "--where", "userid=7")
    assert (done.status, done.output) == (2, "")
    assert "Shopper has no field 'userid', did you mean user_id?" in done.errors
    assert done.errors.count("\n") == 1


async def test_an_empty_store_says_nothing_of_fields(place: Place) -> None:
    assert await place.run("sessions", "ls", "--where", "userid=7") == (0, "", "no session\n")


async def test_show_masks_secret_and_personal_values(place: Place) -> None:
    session = (await place.fill())[0]
    done = await place.run("sessions", "show", str(session.tkn), "--json")
    fields = done.document["fields"]
    assert fields["user_id"] == 7
    assert fields["cart"] == {"apple": 1}
    assert fields["email"] == "********"
    assert str(session.tkn) not in done.output
    assert "billy@example.org" not in (await place.run("sessions", "show", str(session.tkn))).output


async def test_show_knows_the_secrets_of_a_model_and_shows_them_if_asked(place: Place) -> None:
    session = (await place.fill())[0]
    command = ("sessions", "show", str(session.tkn), "--json", "--model", MODEL)
    masked = (await place.run(*command)).document["fields"]
    assert (masked["code"], masked["theme"]) == ("********", "dark")
    shown = (await place.run(*command, "--show-values", "--show-tokens")).document
    assert (shown["fields"]["code"], shown["fields"]["email"]) == ("hunter2", "billy@example.org")
    assert (shown["tkn"], shown["problem"]) == (str(session.tkn), None)


async def test_show_takes_a_token_in_each_form_and_a_public_id(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    session = (await place.fill())[1]
    description = await Repository(place.client, Shopper).describe(session)
    assert description.public_id is not None
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{session.tkn}\n"))
    for given in (str(session.tkn), format_token(session.tkn), description.public_id, "-"):
        done = await place.run("sessions", "show", given, "--json")
        assert done.document["public_id"] == description.public_id


@pytest.mark.parametrize("given", ["-LMpoA6tVnxkQRboeAvXuw", "--MpoA6tVnxkQRboeAvXuw", "-eAvXuwAAA8"])
async def test_a_token_and_a_public_id_may_begin_with_a_dash(place: Place, given: str) -> None:
    done = await place.run("sessions", "show", given)
    assert done.status == 1
    assert "session" in done.errors
    assert "flag" not in done.errors


async def test_show_says_why_a_session_is_none_of_the_model(place: Place) -> None:
    session = (await place.fill())[0]
    await place.client.sh_set({"user_id": "seven"}, session.tkn)
    done = await place.run("sessions", "show", str(session.tkn), "--json", "--model", MODEL)
    assert done.status == 0
    assert "user_id" in done.document["problem"]
    assert done.document["fields"]["user_id"] == "seven"


@pytest.mark.parametrize("given", ["12345", "A" * 22])
async def test_show_of_a_session_that_has_ended_is_status_1_and_one_line(place: Place, given: str) -> None:
    done = await place.run("sessions", "show", given)
    assert (done.status, done.output) == (1, "")
    assert done.errors == "ndb-models: there is no such session: it has ended or expired, or it never existed\n"


async def test_values_never_reach_the_terminal_as_commands(place: Place) -> None:
    tkn = (await place.client.sh_create_session()).tkn
    await place.client.sh_set({"evil\x1b[2J": "\x1b]0;title\x07"}, tkn)
    done = await place.run("sessions", "show", str(tkn))
    assert done.status == 0
    assert "\x1b" not in done.output
    assert "\x07" not in done.output


@pytest.mark.parametrize("flags", [(), ("--schema", "cli-shopper"), ("--model", MODEL)])
async def test_end_frees_lookups_and_unique_values(place: Place, flags: tuple[str, ...]) -> None:
    saved = await place.fill()
    done = await place.run("sessions", "end", "--where", "user_id=7", "--yes", *flags)
    assert (done.status, done.output, done.errors) == (0, "2 sessions ended\n", "")
    shoppers = Repository(place.client, Shopper)
    assert [await shoppers.exists(session.tkn) for session in saved] == [False, False, True]
    assert await index_entries(place) == 2  # of the session that stays
    assert await shoppers.find(user_id=7) == []
    await shoppers.save(Shopper(user_id=9, device="phone"))


async def index_entries(place: Place) -> int:
    """Return how many entries of living sessions the index has."""
    names = [name for name in await place.client.kv_keys() if name.startswith("__ndb__:")]
    sets = await place.client.kv_get(names)
    entries: list[JsonValue] = []
    for tkn in sets.values():
        assert isinstance(tkn, int)
        entries += (await place.client.sh_get(await place.client.sh_keys(tkn), tkn)).values()
    return sum(isinstance(entry, list) and entry[0] != 0 for entry in entries)


async def test_end_takes_tokens_and_says_which_had_ended(place: Place) -> None:
    saved = await place.fill()
    tkns = [str(session.tkn) for session in saved]
    done = await place.run("sessions", "end", *tkns[:2], "--yes", "--json")
    assert done.document == {"ended": 2, "already_ended": 0, "failed": 0}
    done = await place.run("sessions", "end", *tkns, "--yes")
    assert done.output == "1 session ended, 2 had ended already\n"


async def test_end_of_a_public_id_that_no_session_has_is_no_failure(place: Place) -> None:
    saved = await place.fill()
    done = await place.run("sessions", "end", "--yes", "A" * 22, "B" * 22)
    assert (done.status, done.output, done.errors) == (0, "0 sessions ended, 2 had ended already\n", "")
    done = await place.run("sessions", "end", "--yes", "A" * 22, format_token(saved[0].tkn))
    assert (done.status, done.output) == (0, "1 session ended, 1 had ended already\n")


async def test_a_shortened_token_is_refused_with_what_to_write_instead(place: Place) -> None:
    done = await place.run("sessions", "show", "...1234")
    assert done.status == 2
    assert "--show-tokens" in done.errors


async def test_end_leaves_a_session_of_another_model_alone(place: Place) -> None:
    await place.fill()
    (one_time,) = (await place.run("sessions", "ls", "--schema", "cli-one-time", "--namespace", "shop", "--json",
                                   "--show-tokens")).lines  # fmt: skip
    done = await place.run("sessions", "end", one_time["tkn"], "--model", MODEL, "--yes")
    assert done.status == 1
    assert done.output == "0 sessions ended\n"
    assert "1 session could not be ended" in done.errors
    assert one_time["tkn"] not in done.errors
    assert (await place.client.sh_info_all())["totalSessions"] == 4 + 5  # with the sets of the index


async def test_a_dry_run_ends_nothing(place: Place) -> None:
    await place.fill()
    done = await place.run("sessions", "end", "--where", "user_id=7", "--dry-run")
    assert done == (0, "2 sessions would be ended\n", "")
    assert (await place.run("sessions", "end", "--where", "user_id=9", "--dry-run")).output == "no session to end\n"
    assert (await place.run("sessions", "end", "--where", "user_id=7", "--dry-run", "--json")).document[
        "would_end"
    ] == 2
    assert len((await place.run("sessions", "ls", "--json")).lines) == 4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "left"), [("y\n", 1), ("yes\n", 1), ("n\n", 3), ("\n", 3), ("", 3)])
async def test_end_asks_first(place: Place, answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.fill()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    done = await place.run("sessions", "end", "--where", "user_id=7", "--schema", "cli-shopper")
    assert "End 2 sessions of " in done.errors
    assert done.status == (0 if left == 1 else 1)
    assert len((await place.run("sessions", "ls", "--json", "--schema", "cli-shopper")).lines) == left


async def test_end_refuses_where_it_cannot_ask(place: Place) -> None:
    await place.fill()
    done = await place.run("sessions", "end", "--where", "user_id=7")
    assert (done.status, done.output) == (2, "")
    assert "give --yes" in done.errors
    assert len((await place.run("sessions", "ls", "--json")).lines) == 4


async def test_no_look_extends_a_session(clock: VirtualClock, capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(MemoryStore(clock=clock))
    async with NdbServer(engine, ServerOptions(port=0)) as server, NdbClient.connect(server.uri) as client:
        place = Place(server.uri, client, capsys)
        session = (await place.fill())[0]
        clock.move(100)
        await place.run("sessions", "ls")
        await place.run("sessions", "ls", "--where", "user_id=7")
        await place.run("sessions", "ls", "--where", "user_id=7", "--model", MODEL)
        await place.run("sessions", "ls", "--where", "theme=dark", "--model", MODEL)
        await place.run("sessions", "show", str(session.tkn), "--model", MODEL)
        await place.run("sessions", "export")
        await place.run("sessions", "end", "--where", "user_id=7", "--dry-run")
        expiry = (await client.sh_info(session.tkn))["expiry"]
        assert isinstance(expiry, dict)
        assert expiry["remaining"] == 1700


async def test_an_unfinished_creation_is_marked(place: Place) -> None:
    tkn = (await place.client.sh_create_session()).tkn
    await place.client.sh_set({"__ndb__": {"schema": "cli-shopper", "version": 1}}, tkn)
    assert "cli-shopper (unfinished)" in (await place.run("sessions", "ls")).output


async def test_a_nemesisdb_is_refused_in_one_line(nemesisdb: NdbServer, capsys: pytest.CaptureFixture[str]) -> None:
    async with NdbClient.connect(nemesisdb.uri, max_payload=8192) as client:
        place = Place(nemesisdb.uri, client, capsys)
        tkn = (await client.sh_create_session()).tkn
        await client.sh_set({"a": 1}, tkn)
        for command in (("ls",), ("show", str(tkn)), ("end", "--where", "a=1", "--yes"), ("export",)):
            done = await place.run("sessions", *command, "--max-payload", "8192")
            assert (done.status, done.output, done.errors.count("\n")) == (1, "", 1)
            assert "NemesisDB does not have" in done.errors
        assert await client.sh_session_exists([tkn]) == [tkn]


async def test_a_session_of_a_nemesisdb_is_ended_by_its_token_with_its_entries(
    nemesisdb: NdbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    async with NdbClient.connect(nemesisdb.uri, max_payload=8192) as client:
        place = Place(nemesisdb.uri, client, capsys)
        session = (await place.fill())[0]
        done = await place.run("sessions", "end", str(session.tkn), "--yes", "--max-payload", "8192")
        assert (done.status, done.output) == (0, "1 session ended\n")
        assert await index_entries(place) == 4


async def test_listing_needs_an_admin_s_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ServerOptions(port=0, tokens=Tokens([(Role.DATA, TOKEN)]))
    async with (
        NdbServer(Engine(MemoryStore()), options) as server,
        NdbClient.connect(server.uri, token=TOKEN) as client,
    ):
        place = Place(server.uri, client, capsys)
        refused = await place.run("sessions", "ls")
        assert refused.status == 1
        assert "401" in refused.errors
        monkeypatch.setenv("NDB_TOKEN", TOKEN)
        done = await place.run("sessions", "ls")
        assert (done.status, done.output, done.errors.count("\n")) == (1, "", 1)
        assert "SH_LIST" in done.errors
        assert TOKEN not in done.errors


async def test_the_store_may_be_named_by_a_variable(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDB_STORE", place.uri)
    await place.client.kv_set({"a": 1})
    place.capsys.readouterr()
    done = await asyncio.to_thread(run, place.capsys, "keys", "ls")
    assert (done.status, done.output) == (0, "a\n")


async def test_what_a_model_prints_when_imported_is_not_on_standard_output(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cli_noisy_models.py").write_text(
        "print('noise')\nfrom tests.cli.session_models import Shopper as Shopper\n", "utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "cli_noisy_models", raising=False)
    await place.fill()
    done = await place.run("sessions", "ls", "--json", "--model", "cli_noisy_models:Shopper")
    assert len([json.loads(line) for line in done.output.splitlines()]) == 3
    assert "noise" in done.errors

"""`ndb-models sessions export` and `import`, on a file, on a server and on a Valkey."""

from __future__ import annotations

import io
import json
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ndb_models import NdbClient, Repository
from ndb_models.sessions.whole_sessions import create_whole, peek
from ndb_models.types import NEVER
from tests.cli.running import Place
from tests.cli.session_models import MODEL, Shopper

Line = dict[str, Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.jsonl"


async def exported(place: Place, file: Path, *flags: str) -> list[Line]:
    done = await place.run("sessions", "export", "--to", str(file), *flags)
    assert (done.status, done.output) == (0, "")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def write(file: Path, *lines: Line) -> None:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


async def emptied(place: Place) -> None:
    await place.client.sh_end_all()
    await place.client.kv_clear()


async def test_an_export_is_a_private_file_of_whole_sessions(place: Place, file: Path) -> None:
    saved = await place.fill()
    lines = await exported(place, file, "--where", "user_id=7")
    assert {line["tkn"] for line in lines} == {str(session.tkn) for session in saved[:2]}
    keys = {line["keys"]["device"]: line["keys"] for line in lines}
    assert (keys["phone"]["cart"], keys["phone"]["code"], keys["laptop"]["theme"]) == ({"apple": 1}, "hunter2", "light")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.glob("*.jsonl*")] == [file.name]


async def test_an_export_to_standard_output_is_json_lines_alone(place: Place) -> None:
    await place.fill()
    done = await place.run("sessions", "export", "--schema", "cli-shopper")
    assert done.status == 0
    assert len(done.lines) == 3
    assert done.errors == "3 sessions exported\n"


async def test_an_export_leaves_an_existing_file_unless_it_is_told_to(place: Place, file: Path) -> None:
    await place.fill()
    file.write_text("precious")
    done = await place.run("sessions", "export", "--to", str(file))
    assert done.status == 2
    assert "--overwrite" in done.errors
    assert file.read_text() == "precious"
    assert len(await exported(place, file, "--overwrite")) == 4


async def test_an_export_of_data_opens_no_session(place: Place, file: Path) -> None:
    saved = await place.fill()
    lines = await exported(place, file, "--where", "user_id=7", "--data-only")
    text = file.read_text("utf-8")
    assert all(str(session.tkn) not in text for session in saved)
    assert all("tkn" not in line and "public_id" not in line and "__ndb__" not in text for line in lines)
    first = next(line for line in lines if line["fields"]["device"] == "phone")
    assert (first["schema"], first["fields"]["email"]) == ("cli-shopper", "billy@example.org")
    assert (await place.run("sessions", "import", str(file))).status == 2


@pytest.mark.parametrize("flags", [(), ("--model", MODEL)])
async def test_an_import_brings_sessions_back_as_they_were(place: Place, file: Path, flags: tuple[str, ...]) -> None:
    saved = await place.fill()
    shoppers = Repository(place.client, Shopper)
    before = await exported(place, file, "--schema", "cli-shopper")
    await emptied(place)
    done = await place.run("sessions", "import", str(file), *flags)
    assert (done.status, done.output, done.errors) == (0, "3 created\n", "")
    assert [await shoppers.get(session.tkn, extend=False) for session in saved] == saved
    after = await exported(place, file, "--overwrite")
    assert {each["tkn"]: (each["keys"], each["expiry"]) for each in after} == {
        each["tkn"]: (each["keys"], each["expiry"]) for each in before
    }


async def test_with_its_model_an_import_is_found_by_lookups(place: Place, file: Path) -> None:
    await place.fill()
    await exported(place, file, "--schema", "cli-shopper")
    await emptied(place)
    await place.run("sessions", "import", str(file), "--model", MODEL)
    shoppers = Repository(place.client, Shopper)
    assert {session.device for session in await shoppers.find(user_id=7)} == {"phone", "laptop"}
    assert await shoppers.find_one(device="tablet") is not None


async def test_a_unique_value_that_is_taken_is_told(place: Place, file: Path) -> None:
    await place.fill()
    await exported(place, file, "--where", "device=phone")
    await emptied(place)
    await Repository(place.client, Shopper).save(Shopper(user_id=1, device="phone"))
    done = await place.run("sessions", "import", str(file), "--model", MODEL)
    assert (done.status, done.output) == (1, "1 created, 1 failed\n")
    assert "device" in done.errors


async def test_what_exists_is_refused_skipped_or_replaced(place: Place, file: Path) -> None:
    saved = await place.fill()
    lines = await exported(place, file, "--schema", "cli-shopper")
    await place.client.sh_set({"theme": "newer"}, saved[0].tkn)
    await Repository(place.client, Shopper).delete(saved[1].tkn)
    refused = await place.run("sessions", "import", str(file))
    assert (refused.status, refused.output) == (2, "")
    assert "--existing: 2 of these sessions are in the store" in refused.errors
    assert not await place.client.sh_session_exists([saved[1].tkn])
    skipped = await place.run("sessions", "import", str(file), "--existing", "skip", "--json")
    assert skipped.document == {"created": 1, "skipped": 2, "replaced": 0, "expired": 0, "failed": 0}
    assert await place.client.sh_get(["theme"], saved[0].tkn) == {"theme": "newer"}
    replaced = await place.run("sessions", "import", str(file), "--existing", "replace")
    assert replaced.output == "0 created, 3 replaced\n"
    assert await place.client.sh_get(["theme"], saved[0].tkn) == {"theme": "dark"}
    assert len(lines) == 3


async def test_a_session_that_would_have_ended_since_stays_dead(place: Place, file: Path) -> None:
    await place.fill()
    first, *others = await exported(place, file, "--schema", "cli-shopper")
    first["expires"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    await emptied(place)
    write(file, first, *others)
    done = await place.run("sessions", "import", str(file))
    assert (done.status, done.output) == (0, "2 created, 1 expired\n")
    assert not await place.client.sh_session_exists([int(first["tkn"])])


async def test_an_import_reads_standard_input_and_a_dry_run_creates_nothing(
    place: Place, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.fill()
    await exported(place, file)
    await emptied(place)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    done = await place.run("sessions", "import", "-", "--dry-run")
    assert (done.status, done.output) == (0, "4 sessions would be imported\n")
    assert (await place.run("sessions", "ls", "--json")).output == ""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    assert (await place.run("sessions", "import", "-")).output == "4 created\n"


Damage = Callable[[Line], Line]
DAMAGED: dict[str, Damage] = {
    "no token": lambda line: {**line, "tkn": None},
    "a token that is no number": lambda line: {**line, "tkn": "hunter2"},
    "a token out of range": lambda line: {**line, "tkn": str(2**64)},
    "the token of another session": lambda line: {**line, "tkn": "12345"},
    "a shortened token": lambda line: {**line, "tkn": "...2345"},
    "no keys": lambda line: {**line, "keys": {}},
    "keys that are no object": lambda line: {**line, "keys": ["hunter2"]},
    "an expiry without a duration": lambda line: {**line, "expiry": {}},
    "a negative duration": lambda line: {**line, "expiry": {"duration": -1}},
    "a time that is none": lambda line: {**line, "expires": "hunter2"},
}


@pytest.mark.parametrize("damage", DAMAGED)
async def test_a_damaged_line_is_one_line_that_names_it_and_nothing_is_created(
    place: Place, file: Path, damage: str
) -> None:
    await place.fill()
    first, second, third = await exported(place, file, "--schema", "cli-shopper")
    await emptied(place)
    write(file, first, DAMAGED[damage](second), third)
    done = await place.run("sessions", "import", str(file))
    assert (done.status, done.output, done.errors.count("\n")) == (2, "", 1)
    assert f"{file}, line 2: " in done.errors
    assert "hunter2" not in done.errors
    assert (await place.run("sessions", "ls", "--json")).output == ""


async def test_with_its_model_each_session_is_validated_before_any_is_created(place: Place, file: Path) -> None:
    await place.fill()
    first, second, third = await exported(place, file, "--schema", "cli-shopper")
    await emptied(place)
    second["keys"]["user_id"] = "hunter2"
    write(file, first, second, third)
    done = await place.run("sessions", "import", str(file), "--model", MODEL)
    assert (done.status, done.output, done.errors.count("\n")) == (2, "", 1)
    assert f"{file}, line 2: " in done.errors
    assert "user_id" in done.errors
    assert "hunter2" not in done.errors
    assert (await place.run("sessions", "ls", "--json")).output == ""


async def test_values_come_back_to_the_byte(place: Place, file: Path) -> None:
    """A value is kept as the text that was sent: with its spaces, and numbers that no float holds."""
    tkn = 1234567890123456789
    texts = {"big": b"123456789012345678901234567890", "exact": b"1.10", "exponent": b"1e3", "text": b'"a\\nb"'}
    reserved = msgspec.json.encode({"schema": "raw", "version": 1, "tkn": tkn})
    assert await create_whole(place.client, tkn, NEVER, {**texts, "__ndb__": reserved, "lines": b"[1,\n2]"})
    await exported(place, file)
    await place.client.sh_end(tkn)
    assert (await place.run("sessions", "import", str(file))).output == "1 created\n"
    assert await peek(place.client, tkn, tuple(texts)) == texts
    assert await place.client.sh_get(["lines"], tkn) == {"lines": [1, 2]}
    assert (await place.client.sh_info(tkn))["expires"] is False


async def test_a_new_store_is_made_for_an_import(place: Place, file: Path, tmp_path: Path) -> None:
    await place.fill()
    await exported(place, file)
    uri = f"sqlite:///{tmp_path / 'new.db'}"
    assert (await Place(uri, place.client, place.capsys).run("sessions", "import", str(file))).output == "4 created\n"
    async with NdbClient.connect(uri) as client:
        assert (await client.sh_info_all())["totalSessions"] == 4

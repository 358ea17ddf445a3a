"""What holds sessions is private, whatever the umask; what others may read is told once, and left as it is."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndb_models import NdbClient
from ndb_models.engine.snapshots import Kind, Snapshots
from ndb_models.moving import backup
from ndb_models.moving.copying import copy
from tests.engine.data_sets import KEYS, metadata, write_data_set

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")

FOLDER, FILE = 0o700, 0o600


@pytest.fixture(params=[0, 0o022, 0o077, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """Each umask in turn; the last keeps even the owner from writing."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes_below(folder: Path) -> dict[str, int]:
    """Return the modes of all files and folders below one, by their paths."""
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def require_private(folder: Path) -> None:
    """Require that all below a folder is private, and that there is something."""
    modes = modes_below(folder)
    assert modes
    for name, mode in modes.items():
        assert mode == (FOLDER if (folder / name).is_dir() else FILE), f"{name} has mode {mode:o}"


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """A folder that everyone may read."""
    folder = tmp_path / "opened"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


@pytest.mark.usefixtures("umask")
class TestWhatIsWritten:
    async def test_data_sets_are_private(self, opened: Path) -> None:
        async with NdbClient.connect(f"memory://?persist_path={opened}") as client:
            session = await client.sh_create_session()
            await client.sh_set({"a": 1}, session.tkn)
            await client.kv_set({"a": 1})
            for _ in range(2):
                assert await client.kv_save("keys")
                assert await client.sh_save("sessions")
        require_private(opened)
        async with NdbClient.connect(f"memory://?persist_path={opened}") as client:
            assert await client.sh_load("sessions")
            assert await client.kv_load("keys")
            assert await client.kv_get(("a",)) == {"a": 1}

    def test_a_data_set_that_is_being_written_is_private(self, opened: Path) -> None:
        modes: dict[str, int] = {}

        def texts() -> Iterator[bytes]:
            modes.update(modes_below(opened))
            yield b'"a":1'

        Snapshots(opened).save("keys", Kind.KEYS, texts())
        assert set(modes.values()) == {FOLDER}

    async def test_a_store_in_a_file_is_private_with_what_is_beside_it(self, opened: Path) -> None:
        async with NdbClient.connect(f"sqlite:///{opened / 'sessions.db'}") as client:
            await client.kv_set({"a": 1})
            assert modes_below(opened).keys() == {"sessions.db", "sessions.db-wal", "sessions.db-shm"}
            require_private(opened)
        require_private(opened)

    async def test_copies_and_backups_are_private(self, tmp_path: Path, opened: Path) -> None:
        store = f"sqlite:///{tmp_path / 'sessions.db'}"
        async with NdbClient.connect(store) as client:
            await client.kv_set({"a": 1})
            await client.sh_create_session()
        await copy(store, f"snapshot:///{opened}?sessions=sessions&keys=keys", report=lambda _: None)
        await copy(store, f"sqlite:///{opened / 'copy.db'}", report=lambda _: None)
        for _ in range(2):
            await backup(store, opened / "backup.db", overwrite=True)
        require_private(opened)


class TestWhatOthersMayRead:
    @pytest.mark.parametrize("private", ["nothing", "the directory", "the name", "the data set"])
    async def test_data_sets_of_before_are_loaded_and_told_of_once_where_others_get_to_them(
        self, opened: Path, caplog: pytest.LogCaptureFixture, private: str
    ) -> None:
        write_data_set(opened, "keys", metadata("keys", KEYS), ['{"keys":{"a":1}}'])
        write_data_set(opened, "more", metadata("more", KEYS), ['{"keys":{"a":1}}'])
        for path in opened.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        closed = {"nothing": "none", "the directory": ".", "the name": "*", "the data set": "*/*"}[private]
        for path in opened.glob(closed) if closed != "." else (opened,):
            path.chmod(0o700)
        before = modes_below(opened)
        for _ in range(2):
            async with NdbClient.connect(f"memory://?persist_path={opened}") as client:
                assert await client.kv_load("keys")
                assert await client.kv_get(("a",)) == {"a": 1}
                assert await client.kv_save("keys")
        told = (
            f"2 data sets in {opened} are open to other users of this machine;"
            f" make them private with: chmod -R go-rwx {opened}"
        )
        assert [record.getMessage() for record in caplog.records] == ([told] if private == "nothing" else [])
        assert {name: modes_below(opened)[name] for name in before} == before

    @pytest.mark.parametrize(("mode", "who"), [(0o644, "every user of this machine"), (0o640, "its group")])
    async def test_a_store_s_file_is_told_of_once_and_kept(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, who: str
    ) -> None:
        path = tmp_path / "sessions.db"
        async with NdbClient.connect(f"sqlite:///{path}") as client:
            await client.kv_set({"a": 1})
        path.chmod(mode)
        for _ in range(2):
            async with NdbClient.connect(f"sqlite:///{path}") as client:
                assert await client.kv_get(("a",)) == {"a": 1}
        assert [record.getMessage() for record in caplog.records] == [
            f"{path} is open to {who}; make it private with: chmod go-rwx {path}"
        ]
        assert stat.S_IMODE(path.stat().st_mode) == mode

"""Copies and backups that are asked for in a rare way: refused before anything is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ndb_models.errors import InvalidArgumentError
from ndb_models.moving import copy
from ndb_models.moving.backups import backup
from ndb_models.stores.sqlite import SqliteStore


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    async with SqliteStore(path):
        pass
    return path


async def test_a_backup_is_not_written_to_a_pipe(store: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidArgumentError, match="is a device, a pipe or a socket"):
        await backup(f"sqlite:///{store}", pipe, overwrite=True)


async def test_a_backup_under_a_name_that_no_file_can_have_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="no file can have"):
        await backup(f"sqlite:///{store}", f"{tmp_path}/a\0b")


async def test_a_backup_onto_a_file_system_without_links_is_renamed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links are refused there as they are here."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "backup.db"
    await backup(f"sqlite:///{store}", target)
    async with SqliteStore(target):
        pass
    with pytest.raises(InvalidArgumentError):
        await backup(f"sqlite:///{store}", target)


async def test_a_file_that_appears_while_a_backup_is_written_is_left_alone(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without links, too, where a rename would replace it."""
    target = tmp_path / "backup.db"

    def appear(*_: object) -> None:
        target.write_text("of another program")
        raise PermissionError

    monkeypatch.setattr(os, "link", appear)
    with pytest.raises(InvalidArgumentError):
        await backup(f"sqlite:///{store}", target)
    assert target.read_text() == "of another program"


async def test_options_of_a_connection_are_for_a_server(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="for a server"):
        await copy(
            f"sqlite:///{store}", f"sqlite:///{tmp_path}/other.db", report=lambda _: None, connect={"token": "t"}
        )
    assert not (tmp_path / "other.db").exists()

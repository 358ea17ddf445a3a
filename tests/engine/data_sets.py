"""Data sets written by hand, as NemesisDB writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEYS = 0
SESSIONS = 1


def metadata(name: str, kind: int, **changed: object) -> dict[str, Any]:
    md = {"name": name, "version": 2, "status": 1, "start": 1700000000000, "complete": 1700000000001}
    return {**md, "saveDataType": kind, **changed}


def write_data_set(
    persist_path: Path, name: str, md: dict[str, Any] | str, files: Sequence[str], made: int = 1700000000000000000
) -> Path:
    """Write the files of a data set and return its directory."""
    root = persist_path / name / str(made)
    (root / "md").mkdir(parents=True)
    (root / "data").mkdir()
    (root / "md" / "md.json").write_text(md if isinstance(md, str) else json.dumps(md), "utf-8")
    for number, text in enumerate(files):
        (root / "data" / str(number)).write_text(text, "utf-8")
    return root


def session(token: int, keys: dict[str, Any], **expiry: object) -> dict[str, Any]:
    """Return a session as it stands in a data set."""
    settings = {"duration": 0, "deleteSession": False, "extendOnSetAdd": False, "extendOnGet": False}
    return {"sh": {"tkn": token, "shared": False, "expiry": {**settings, **expiry}}, "keys": keys}


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder: files with what they hold, folders with None."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}

"""The server's log: events and their fields, as text or as one JSON object a line.

No line holds a value, a key's name, a session's token or a bearer token. An exception is logged with its types and
places in the code, but without its message, since that may quote data.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

LOGGERS: Final = ("ndb_models", "asyncio")


class _Formatter(logging.Formatter):
    """The common part of both formats."""

    def line(self, record: logging.LogRecord, fields: Mapping[str, object]) -> str:
        raise NotImplementedError

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as one line."""
        fields: dict[str, object] = dict(getattr(record, "fields", {}))
        exception = record.exc_info[1] if record.exc_info else None
        if exception is not None:
            fields["error"] = _chain(exception)
            fields["at"] = [
                f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(exception.__traceback__)
            ]
        return self.line(record, fields)


class TextFormatter(_Formatter):
    """Lines for people: time, level, logger, event, fields."""

    def line(self, record: logging.LogRecord, fields: Mapping[str, object]) -> str:
        """Return the line."""
        shown = "".join(f" {name}={value}" for name, value in fields.items())
        return f"{_time(record)} {record.levelname} {record.name}: {_one_line(record.getMessage() + shown)}"


class JsonFormatter(_Formatter):
    """Lines for programs: objects with `time`, `level`, `logger`, `event`, and fields."""

    def line(self, record: logging.LogRecord, fields: Mapping[str, object]) -> str:
        """Return the line."""
        head = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps({**head, "event": record.getMessage(), **fields}, default=str)


def log_to(stream: TextIO, *, level: str, style: str) -> None:
    """Write the log of this package and of the event loop to a stream, for the rest of this process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.setLevel(level.upper())
    for name in LOGGERS:
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
    logging.getLogger(LOGGERS[0]).setLevel(level.upper())


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _chain(exception: BaseException) -> str:
    types: list[str] = []
    following: Any = exception
    while following is not None and len(types) < 10:
        types.append(type(following).__qualname__)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return " from ".join(types)


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")

"""The engine: the bytes of one frame in, the bytes of its answer out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from ndb_models.engine.datasets import DataSets
from ndb_models.engine.handlers import HANDLERS, OK, Context, scope_of
from ndb_models.engine.requests import RefusedError, parse
from ndb_models.engine.usual import usual_call
from ndb_models.errors import StoreError
from ndb_models.stores.contract import SHARED, Store, UnknownSessionError
from ndb_models.texts import ObjectText
from ndb_models.wire.commands import TOKEN, UNKNOWN_COMMAND
from ndb_models.wire.prepared import Prepared
from ndb_models.wire.statuses import Status

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


def refusal(name: str, status: Status, message: str = "") -> bytes:
    """Return the answer to a request that is refused; `name` is the command's, or `UNKNOWN_COMMAND`."""
    if name == UNKNOWN_COMMAND:
        return _encode({UNKNOWN_COMMAND: {"m": message, "st": status}})
    return _encode({f"{name}_RSP": {"m": message, "st": status, TOKEN: None}})


BINARY_FRAME: Final = refusal(UNKNOWN_COMMAND, Status.OP_CODE_INVALID, "requests are text frames")
"""The answer to a binary frame."""


class Engine:
    """Answers requests from a store.

    Args:
        store: where the keys live.
        persist_path: the directory for data sets (`*_SAVE`, `*_LOAD`), which must exist; None for none.
        raise_store_errors: raise the `StoreError` of a store that fails, for callers in this process, who can be told
            everything; else it is logged, and answered with status 1000 and the reason.
    """

    def __init__(self, store: Store, *, persist_path: Path | None = None, raise_store_errors: bool = False) -> None:
        self._store = store
        self._raise_store_errors = raise_store_errors
        self._context = Context(store, DataSets(store, persist_path))

    async def handle(self, frame: bytes) -> bytes:
        """Return the answer to the text frame of one request. There always is one.

        Where the store does not wait, neither does this, except for saving and loading.
        """
        try:
            call = usual_call(frame) or parse(frame)
        except RefusedError as exc:
            return refusal(exc.name, exc.status, exc.message)
        name = call.command.name
        try:
            body = await HANDLERS[name](self._context, scope_of(call), call)
        except UnknownSessionError:
            return refusal(name, Status.SESSION_NOT_EXIST)
        except RefusedError as exc:
            return refusal(exc.name, exc.status, exc.message)
        except StoreError as exc:
            return refusal(name, Status.UNKNOWN, self._reason(name, exc))
        except Exception:
            _logger.exception("%s failed", name)
            return refusal(name, Status.UNKNOWN)
        if body is OK:
            return call.command.bare_success
        keys = body.get("keys")
        if type(keys) is ObjectText:  # what was read, and a status: there is nothing else in such an answer
            return b'%b{"keys":%b,"st":%d}}' % (call.command.answer_start, keys.text, body["st"])
        return _encode({call.command.answer_name: body})

    async def perform(self, prepared: Prepared) -> Mapping[str, Any]:
        """Carry out a command without frames; return the body of the answer, its values as text.

        For callers in this process, who answer for it that the parameters fit the command and the values are JSON.
        """
        command = prepared.command
        try:
            scope = prepared.body[TOKEN] if command.of_session else SHARED
            return await HANDLERS[command.name](self._context, scope, prepared)
        except UnknownSessionError:
            return {"st": Status.SESSION_NOT_EXIST}
        except RefusedError as exc:
            return {"m": exc.message, "st": exc.status}
        except StoreError as exc:
            return {"m": self._reason(command.name, exc), "st": Status.UNKNOWN}
        except Exception:
            _logger.exception("%s failed", command.name)
            return {"st": Status.UNKNOWN}

    def _reason(self, command: str, failure: StoreError) -> str:
        """Log a failure of the store, and return what a client may know of it: not where the store is."""
        if self._raise_store_errors:
            raise failure
        _logger.error("%s failed: %s", command, failure)
        return failure.reason

    async def sweep(self) -> None:
        """Free what expired sessions occupy."""
        await self._store.sweep()

    async def aclose(self) -> None:
        """Close the store. Closing twice does no harm."""
        await self._store.aclose()

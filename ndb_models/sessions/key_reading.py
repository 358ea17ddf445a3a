"""Reads of the keys of a session, of any schema, in as many frames as needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ndb_models.client import NdbClient
from ndb_models.client.requester import unsupported
from ndb_models.errors import ProtocolError
from ndb_models.json_text import ObjectText
from ndb_models.protocol.commands import COMMANDS, Command
from ndb_models.protocol.prepared import Parameters, Prepared, reading_answer
from ndb_models.protocol.statuses import OK_STATUS, Status
from ndb_models.schema.envelope import RESERVED_KEY, is_reserved, of_one_session
from ndb_models.sessions.lifetimes import SH_PEEK
from ndb_models.sessions.read_requests import ReadRequests
from ndb_models.sessions.reading import LOOK, USE, ReadEffect
from ndb_models.sessions.writing import SessionWriting, check_token
from ndb_models.types import SessionToken

_SH_GET: Final = COMMANDS["SH_GET"]

# Others may upgrade a session while it is read in parts. An upgrade writes the reserved key twice at most.
_PARTED_READS: Final = 3


class KeyReading(SessionWriting):
    """Reads keys of sessions, without a look at what they hold.

    Args:
        client: an open client.
        model: the name of the class, for errors.
    """

    def __init__(self, client: NdbClient, model: str) -> None:
        super().__init__(client, model)
        self._read_requests = ReadRequests(client.max_payload)

    def is_one_read(self, names: tuple[str, ...]) -> bool:
        """Return True if one request can ask for all these keys."""
        return self._client.max_payload is None or len(self._requests_for(names)) == 1

    async def names(self, tkn: SessionToken) -> tuple[str, ...]:
        """Return the names of all keys of a session, except reserved ones."""
        return tuple([name for name in await self._all_names(tkn) if not is_reserved(name)])

    async def raw(self, tkn: SessionToken, reading: ReadEffect) -> dict[str, bytes]:
        """Return all keys of a session of any kind, as their JSON text."""
        parts = self._requests_for(await self._all_names(tkn))
        keys: ObjectText = (await self._read_parts(tkn, parts, reading))["keys"]
        return keys.split()

    async def _all_names(self, tkn: SessionToken) -> tuple[str, ...]:
        check_token(tkn)
        names = await self.of_session(tkn, self._client.sh_keys(tkn))
        return tuple([name for name in names if name != RESERVED_KEY])

    def _requests_for(self, names: tuple[str, ...]) -> Sequence[Parameters]:
        """Return the parameters of the requests that read these keys, in frames of the client's size."""
        limit = self._client.max_payload
        if limit != self._read_requests.limit:
            self._read_requests = ReadRequests(limit)
        return self._read_requests.asking_for(names)

    async def _read_parts(
        self, tkn: SessionToken, parts: Sequence[Parameters], reading: ReadEffect, tries: int = _PARTED_READS
    ) -> dict[str, Any]:
        """Return the answers to several reads as one answer. Each read includes the reserved key."""
        keys: dict[str, bytes] = {}
        reserved: set[bytes | None] = set()
        for part in parts:
            read = (await self._ask(tkn, part, reading))["keys"]
            with reading_answer(_SH_GET):
                keys.update(read)
            reserved.add(read.get(RESERVED_KEY))
        if len(reserved) > 1:
            if tries > 1 and of_one_session(reserved):  # it was upgraded meanwhile
                return await self._read_parts(tkn, parts, reading, tries - 1)
            # The parts are of several sessions, and no part proves which session another one is of.
            raise ProtocolError("the server's answers are about several sessions")
        return {"keys": ObjectText.joined(keys), "st": OK_STATUS}

    async def _ask(self, tkn: SessionToken, part: Parameters, reading: ReadEffect) -> dict[str, Any]:
        """Return the answer with the keys that one frame asks for."""
        client, command = self._client, self._command_of(reading)
        asked_on = client.connection_number if client.is_remote else None
        begun = client.begin(Prepared(command, tkn, part))
        answer = begun if isinstance(begun, dict) else await begun
        if answer["st"] == OK_STATUS:
            return answer
        if answer["st"] == Status.COMMAND_NOT_EXIST and command is SH_PEEK:
            client.note_unknown(SH_PEEK, asked_on)
            return await self._ask(tkn, part, reading)
        raise await client.identified(self.refusal(_SH_GET, tkn, answer))

    def _command_of(self, reading: ReadEffect) -> Command:
        """Return the command of a read.

        Raises:
            UnsupportedError: the read must not extend the expiry, and the server has no such read.
        """
        if reading is USE:
            return _SH_GET
        if self._client.may_know(SH_PEEK):
            return SH_PEEK
        if reading is LOOK:
            raise unsupported("extend=False", SH_PEEK)
        return _SH_GET

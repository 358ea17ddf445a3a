"""Credentials of sessions: checked by one read, and replaced in place, in the reserved key alone."""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec

from ndb_models.client import NdbClient
from ndb_models.credentials import Credential, draw_credential, is_current, opens, renewed
from ndb_models.errors import (
    ForeignSessionError,
    IncompleteSessionError,
    InvalidArgumentError,
    ProtocolError,
    SessionGoneError,
    UnsupportedError,
    WrongSchemaError,
)
from ndb_models.json_text import ObjectText
from ndb_models.schema.envelope import RESERVED_KEY, read_envelope, rewritten
from ndb_models.schema.tracking import with_login
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.locks import RESERVED_KEYS
from ndb_models.sessions.reading import UPKEEP, Read
from ndb_models.sessions.writing import ContestedError
from ndb_models.types import SessionToken

# Attempts to replace a secret. Each that fails means that another process has changed the reserved key.
_TRIES: Final = 64


class SessionCredentials:
    """Checks and replaces the credentials of the sessions of one schema.

    Args:
        client: an open client.
        access: the access to the sessions.
    """

    def __init__(self, client: NdbClient, access: SessionAccess) -> None:
        self._client = client
        self._access = access

    async def opened_by(self, credential: Credential, names: tuple[str, ...]) -> Read | None:
        """Return the keys with these names, of the session that a credential opens; None if it opens none.

        This is one read, which extends the expiry only where the server cannot read otherwise.
        """
        read = None
        with contextlib.suppress(SessionGoneError, WrongSchemaError, IncompleteSessionError, ForeignSessionError):
            read = await self._access.read(credential.tkn, names, UPKEEP)
        envelope = read.envelope if read is not None else None
        digests = envelope.secret if envelope is not None else None
        return read if opens(credential, digests, self._access.lifetimes.now()) else None

    async def renew(self, tkn: SessionToken, grace: int, *, logs_in: bool) -> Credential:
        """Give a session a new credential, and return it. Counts as a write.

        The secret that is current by now opens the session for `grace` more milliseconds. On a NemesisDB, which cannot
        compare before it writes, another process may change the reserved key at the same time; the later write wins.

        Raises:
            InvalidArgumentError: another client wrote the session, so it has no reserved key.
        """
        credential = await self._renew(tkn, grace, None, logs_in=logs_in)
        assert credential is not None
        return credential

    async def renew_once(self, shown: Credential, grace: int) -> Credential | None:
        """Do what `renew` does if this credential has the current secret of its session; else return None."""
        return await self._renew(shown.tkn, grace, shown, logs_in=False)

    async def _renew(
        self, tkn: SessionToken, grace: int, shown: Credential | None, *, logs_in: bool
    ) -> Credential | None:
        credential = draw_credential(tkn)
        async with RESERVED_KEYS.holding(self._client, tkn):
            for _ in range(_TRIES):
                read = await self._access.read(tkn, (), UPKEEP)
                envelope = read_envelope(read.reserved)
                if envelope is None:
                    raise InvalidArgumentError("a session that another client wrote cannot have a credential")
                if shown is not None and not is_current(shown, envelope.secret):
                    return None
                now = self._access.lifetimes.now()
                secret = renewed(envelope.secret, credential, grace, now)
                envelope = with_login(envelope, now) if logs_in else envelope
                text = rewritten(read.reserved, msgspec.structs.replace(envelope, secret=secret))
                if await self._replace(tkn, read.reserved, text):
                    return credential
        raise ProtocolError("the reserved key of the session was changed again and again while it was renewed")

    async def _replace(self, tkn: SessionToken, old: bytes, new: bytes) -> bool:
        """Replace a reserved key if it is still the old one; without a comparison on a NemesisDB."""
        keys = ObjectText.joined({RESERVED_KEY: new})
        try:
            await self._access.change_if(tkn, keys, (), {RESERVED_KEY: old})
        except ContestedError:
            return False
        except UnsupportedError:
            await self._access.set(tkn, keys)
        return True

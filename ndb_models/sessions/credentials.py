"""Credentials of sessions: checked by one read, and replaced in place, in the reserved key alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from ndb_models.client import NdbClient
from ndb_models.credentials import (
    NOTHING,
    Credential,
    Opens,
    SecretDigests,
    draw_credential,
    followed,
    follower_of,
    is_current,
    opens,
    renewed,
    seen,
)
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
from ndb_models.schema.envelope import RESERVED_KEY, Envelope, read_envelope, rewritten
from ndb_models.schema.tracking import with_login
from ndb_models.sessions.access import SessionAccess
from ndb_models.sessions.locks import RESERVED_KEYS
from ndb_models.sessions.reading import UPKEEP, USE, Read
from ndb_models.sessions.writing import ContestedError
from ndb_models.types import SessionToken

# The errors of a token that names no session of the schema.
_NO_SUCH: Final = (SessionGoneError, WrongSchemaError, IncompleteSessionError, ForeignSessionError)

# Attempts to replace a secret. Each that fails means that another process has changed the reserved key.
_TRIES: Final = 64

# The part of the idle time after a use in which a read may leave the extension to a save.
_FRESH: Final = 0.5

_Change: TypeAlias = Callable[[SecretDigests | None, float], SecretDigests | None]


class SessionCredentials:
    """Checks and replaces the credentials of the sessions of one schema.

    Args:
        client: an open client.
        access: the access to the sessions.
    """

    def __init__(self, client: NdbClient, access: SessionAccess) -> None:
        self._client = client
        self._access = access
        # What credentials hold that opened a session here: they outlive the client.
        self._here = object()

    async def opened_by(
        self, credential: Credential, names: tuple[str, ...], *, as_use: bool, to_change: bool = False
    ) -> tuple[Read, Envelope, Opens, bool] | None:
        """Return the keys with these names, of the session that a credential opens; None if it opens none.

        With them, the session's reserved key, the secret that the credential has, and whether the read was a use. This
        is one read. It extends the expiry only where the server cannot read otherwise, or if `as_use` allows it and the
        credential opened the session here before: it is wrong only if it was replaced since, and is then not believed
        again. If the store prefers looks, a read `to_change` the session is one, and leaves the extension to the save,
        while half of the idle time is sure to be left.
        """
        is_use = as_use and credential.opened_at is self._here
        if is_use and to_change and self._client.prefers_looks:
            is_use = self._access.lifetimes.now() >= credential.used_until
        read = envelope = None
        try:
            begun = self._access.begin_read(credential.tkn, names, USE if is_use else UPKEEP)
            read = begun if isinstance(begun, Read) else await begun
            envelope = read.envelope
        except _NO_SUCH:
            pass
        now = self._access.lifetimes.now()
        found = opens(credential, None if envelope is None else envelope.secret, now)
        if read is None or envelope is None or found is NOTHING:
            credential.opened_at = None
            return None
        credential.opened_at = self._here
        if is_use and self._client.prefers_looks:
            credential.used_until = now + _FRESH * 1000 * (envelope.idle or 0)
        return read, envelope, found, is_use

    async def renew(self, tkn: SessionToken, grace: int, *, logs_in: bool) -> Credential:
        """Give a session a new credential, and return it. Counts as a write.

        The secret that is current by now opens the session for `grace` more milliseconds. On a NemesisDB, which cannot
        compare before it writes, another process may change the reserved key at the same time; the later write wins.

        Raises:
            InvalidArgumentError: another client wrote the session, so it has no reserved key.
        """
        credential = draw_credential(tkn)
        await self._change(tkn, lambda digests, now: renewed(digests, credential, grace, now), logs_in=logs_in)
        return credential

    async def renew_once(self, shown: Credential, unseen: int) -> Credential | None:
        """Follow the current credential by a new one, or return the one that another request followed it by.

        None is returned for a credential that is neither the current one nor the one just before it.
        """
        follower = None

        def following(digests: SecretDigests | None, now: float) -> SecretDigests | None:
            nonlocal follower
            made = None if digests is None else followed(digests, shown, unseen, now)
            if made is None:
                follower = follower_of(shown, digests)
                return None
            follower = made[1]
            return made[0]

        await self._change(shown.tkn, following, logs_in=False)
        return follower

    async def note_seen(self, shown: Credential, grace: int) -> None:
        """Begin the grace period of the credential before this one, if this is the current one and was not seen yet."""

        def seen_now(digests: SecretDigests | None, now: float) -> SecretDigests | None:
            if digests is None or not digests.salt or not is_current(shown, digests):
                return None
            return seen(digests, grace, now)

        await self._change(shown.tkn, seen_now, logs_in=False)

    async def _change(self, tkn: SessionToken, change: _Change, *, logs_in: bool) -> None:
        """Change the digests of a session in one step. `change` returns None for no change. Counts as a write."""
        async with RESERVED_KEYS.holding(self._client, tkn):
            for _ in range(_TRIES):
                read = await self._access.read(tkn, (), UPKEEP)
                envelope = read_envelope(read.reserved)
                if envelope is None:
                    raise InvalidArgumentError("a session that another client wrote cannot have a credential")
                now = self._access.lifetimes.now()
                secret = change(envelope.secret, now)
                if secret is None:
                    return
                envelope = with_login(envelope, now) if logs_in else envelope
                text = rewritten(read.reserved, msgspec.structs.replace(envelope, secret=secret))
                if await self._replace(tkn, read.reserved, text):
                    return
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

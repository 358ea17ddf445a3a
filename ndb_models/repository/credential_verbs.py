"""`issue`, `authenticate`, `renew` and their kin: the verbs for sessions that a browser may name."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from ndb_models.credentials import AS_CURRENT, Credential, follower_of
from ndb_models.errors import InvalidArgumentError, SessionGoneError
from ndb_models.repository.core_verbs import CoreVerbs
from ndb_models.repository.opened import OpenedSession
from ndb_models.repository.stored_state import known
from ndb_models.schema.model import SessionModel

M = TypeVar("M", bound=SessionModel)

GRACE: Final = timedelta(seconds=30)
"""The time for which a secret opens its session after it was renewed, unless a call says otherwise."""

UNSEEN: Final = timedelta(days=400)
"""The time for which a replaced credential opens its session while no request shows the new one: for ever."""

# In seconds, as for an `Expiry`: a moment in milliseconds stays a 64-bit integer.
_TOO_LONG: Final = 2**53


class CredentialVerbs(CoreVerbs[M]):
    """The verbs of a `Repository` for credentials.

    A token has 64 bits: it names a session. A credential holds 256 random bits besides, and only their SHA-256 is
    stored. Give browsers a credential, not a token.
    """

    async def issue(self, session: M) -> Credential:
        """Give a session its credential, and return it. A credential that it had before is dead at once.

            credential = await repo.issue(await repo.save(UserSession(username="billy")))
            response.set_cookie("__Host-session", str(credential), secure=True, httponly=True)

        The credential cannot be read again: only the digest of its secret is stored. This counts as a write. The
        model's unsaved changes stay unsaved. Calling it again, or after `renew`, is `renew` with `login=True` and
        without a grace period. A cancelled call may or may not have been carried out: issue another one.

        Raises:
            NotSavedError: the model was never saved.
            SessionGoneError: the session has ended or expired.
            InvalidArgumentError: another client wrote the session.
        """
        return await self._credentials.renew(known(self._checked(session)).tkn, 0, logs_in=True)

    async def renew(self, session: M, grace: timedelta | float = GRACE, *, login: bool = False) -> Credential:
        """Give a session a new secret in place, and return the new credential.

        The token, the data and the lookups stay, so nothing is copied, and all models of the session stay valid. Call
        it at login, whenever the user or the rights of a session change, and by a timer if wanted. `rotate` also
        changes the token.

        The credential that was current opens the session until the grace period ends, for requests under way. One that
        is in its grace period already is dead at once. Of several renewals at the same time each takes effect after the
        other: the credential of the last one stays. Otherwise as `issue`.

        Args:
            session: a model that was saved or read.
            grace: a `timedelta` or seconds, by the repository's clock; 0 for none.
            login: True if the user has just logged in. `is_fresh` and `require_fresh` then count from now.

        Raises:
            InvalidArgumentError: `grace` is negative or no time; or another client wrote the session.
        """
        tkn = known(self._checked(session)).tkn
        return await self._credentials.renew(tkn, _milliseconds("grace", grace), logs_in=login)

    async def renew_once(self, shown: str, unseen: timedelta | float = UNSEEN) -> Credential | None:
        """Renew the credential with this text, once for all requests that show it. Return the new one.

        For cookies that are replaced by a timer. The first request renews; the others, also later ones, get the same
        new credential without a write. So it does not matter which answer comes last, or whether one is lost: the old
        credential opens the session until a request shows the new one, and `note_seen` is called for that.

        Return None if the credential is not the current one, and the new one was seen already. Otherwise as `renew`.

        Args:
            shown: the text of the credential that came with the request.
            unseen: how long the old one opens the session at most if no request ever shows the new one: a `timedelta`
                or seconds, by the repository's clock.

        Raises:
            InvalidArgumentError: the text is malformed; or as `renew`.
        """
        return await self._credentials.renew_once(_parsed("renew_once", shown), _milliseconds("unseen", unseen))

    async def note_seen(self, shown: str, grace: timedelta | float = GRACE) -> None:
        """Begin the grace period of a credential that `renew_once` replaced, as its successor was shown now.

        Nothing happens if the text is not the current credential, or was noted already.

        Args:
            shown: the text of the new credential.
            grace: as for `renew`.

        Raises:
            InvalidArgumentError: the text is malformed; or as `renew`.
        """
        await self._credentials.note_seen(_parsed("note_seen", shown), _milliseconds("grace", grace))

    async def authenticate(self, text: str | None) -> M | None:
        """Return the session that the text of a credential opens, or None. Takes a browser's input unchecked.

        None is returned for a text that is malformed, or whose session has ended, expired, is of another model, has no
        credential, or has another secret. A malformed text costs no request, any other one read at most. A wrong secret
        does not extend the session, and is compared in constant time. The right one counts as a read, as by `get`. The
        first time, the extension is a request of its own, which is not waited for. From then on the read extends: if
        the secret has been replaced meanwhile, it extends the session once more, and opens nothing. (A NemesisDB
        extends on every read, also for a wrong secret.) Of an open class, the right one costs the requests of `get`
        besides.

        Raises (for the right credential only):
            StoredDataError: the stored data does not fit the model.
            NewerVersionError, OlderVersionError: the session is of a version that this code does not take.
        """
        opened = await self.opened_by(text)
        return None if opened is None else opened.session

    async def opened_by(
        self, text: str | None, *, extend: bool = True, to_change: bool = False
    ) -> OpenedSession[M] | None:
        """Do what `authenticate` does, and return facts about the credential and the expiry with the session.

        Args:
            text: the text of a credential.
            extend: count as a read. False leaves that to the caller, who calls the result's `use` later, if it has one.
            to_change: a save is likely to follow, which extends the session as well. On Redis, where a read that
                extends nothing is much less work, the read is then one, while half of the idle time is left as far as
                this program knows.
        """
        credential = Credential.parse(text)
        if credential is None:
            return None
        codec, access = self._codec, self._access
        tkn, names = credential.tkn, codec.names
        at_once = not codec.open and access.is_one_read(names)
        found = await self._credentials.opened_by(
            credential, names if at_once else (), as_use=at_once, to_change=to_change
        )
        if found is None:
            return None
        read, envelope, secrets, is_used = found
        try:
            session = self._common.model(tkn, read) if at_once else None
            if session is None and at_once:
                read = await access.admitted(tkn, read)
                session = await self._take(tkn, read)
            elif session is None:
                session = await self.get(tkn)
                is_used = True
        except SessionGoneError:  # it ended meanwhile, or because it does not fit
            return None
        finally:
            if extend and at_once and not is_used:
                access.use(tkn, read)
        secret, is_current = envelope.secret, secrets is AS_CURRENT
        return OpenedSession(
            session,
            is_current,
            secret is None or not secret.salt,
            None if is_current else follower_of(credential, secret),
            0 if secret is None else secret.issued,
            envelope.idle,
            envelope.absolute,
            envelope.own,
            None if is_used or extend else partial(access.use, tkn, read),
        )


def checked_grace(grace: timedelta | float) -> timedelta | float:
    """Return a grace period.

    Raises:
        InvalidArgumentError: it is negative, or no time.
    """
    _milliseconds("grace", grace)
    return grace


def _parsed(verb: str, text: str) -> Credential:
    credential = Credential.parse(text)
    if credential is None:
        raise InvalidArgumentError(f"{verb}() takes the text of a credential that opens a session")
    return credential


def _milliseconds(name: str, time: timedelta | float) -> int:
    """Return a period in milliseconds.

    Raises:
        InvalidArgumentError: it is negative, or no time.
    """
    given: object = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < _TOO_LONG:
        raise InvalidArgumentError(f"{name} is a timedelta or a number of seconds, and not negative")
    return int(given * 1000)

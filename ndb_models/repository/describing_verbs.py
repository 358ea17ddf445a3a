"""`describe`, `is_fresh`, `require_fresh` and `unsaved`: the verbs that tell about a session or a model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeVar

from ndb_models.client.requester import unsupported
from ndb_models.errors import InvalidArgumentError, NotFreshError, UnsupportedError
from ndb_models.repository.core_verbs import CoreVerbs
from ndb_models.repository.description import SessionDescription
from ndb_models.repository.stored_state import known
from ndb_models.schema.changes import NO_NAMES
from ndb_models.schema.expiry import check_seconds, seconds_in
from ndb_models.schema.model import SessionModel, stored_of
from ndb_models.schema.tracking import login_time
from ndb_models.sessions.lifetimes import SH_PEEK
from ndb_models.sessions.reading import LOOK, UPKEEP
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)


class DescribingVerbs(CoreVerbs[M]):
    """The verbs of a `Repository` that tell when a session was created and used, and when its user logged in.

    These are recorded if the class says `track=`.
    """

    async def describe(
        self, session: M | SessionToken, *, current: M | SessionToken | None = None
    ) -> SessionDescription:
        """Return facts about a session: when it was created, used and logged in, when it ends, and its public id.

        Extends no expiry. `current` is the session of the request, for the description's `is_current`.

        Raises:
            UnsupportedError: the server is a NemesisDB, which cannot read without extending.
        """
        tkn = self._token_of(session)
        try:
            read = await self._access.read(tkn, (), LOOK)
        except UnsupportedError:
            raise unsupported("describe()", SH_PEEK) from None
        remaining = await self._access.remaining(tkn, read.deadline)
        now, envelope = self._lifetimes.now(), read.envelope
        login = login_time(envelope) if envelope is not None else None
        return SessionDescription(
            schema=self._options.schema,
            version=envelope.version if envelope is not None else None,
            created=_moment(envelope.created if envelope is not None else None),
            used=_moment(envelope.used if envelope is not None else None),
            authenticated=_moment(login),
            remaining=remaining,
            expires=_moment(None if remaining is None else now + remaining * 1000),
            deadline=_moment(read.deadline),
            public_id=envelope.public_id if envelope is not None else None,
            is_current=current is not None and self._token_of(current) == tkn,
        )

    async def is_fresh(self, session: M | SessionToken, within: timedelta | float) -> bool:
        """Return True if the user of a session logged in at most `within` ago, a timedelta or whole seconds.

        The last `rotate`, `issue` or `renew(login=True)` counts as the login, or else the creation. A session that was
        created before its class said `track=` is not fresh until then. Reads the session, and extends no expiry; on a
        NemesisDB it does.

        Raises:
            InvalidArgumentError: the class does not say `track=`; or `within` is no time.
        """
        if self._options.track is None:
            raise InvalidArgumentError(f"the time of a login is recorded with class {self._name}(..., track=60)")
        check_seconds("within=", within)
        seconds = seconds_in(within)
        if seconds is None:
            raise InvalidArgumentError("within= is a timedelta or seconds")
        envelope = (await self._access.read(self._token_of(session), (), UPKEEP)).envelope
        login = login_time(envelope) if envelope is not None else None
        return login is not None and self._lifetimes.now() - login <= seconds * 1000

    async def require_fresh(self, session: M | SessionToken, within: timedelta | float) -> None:
        """Return if the session `is_fresh` within that time, for a step-up before a sensitive action.

        Raises:
            NotFreshError: the login is longer ago, or its time is not known. After the next login call `rotate`.
        """
        if not await self.is_fresh(session, within):
            raise NotFreshError(self._name, self._token_of(session))

    def unsaved(self, session: M) -> frozenset[str]:
        """Return the names of the fields that a save of this model would write. Sends no request.

        For a model without a token these are all that are stored. Reading and saving make it empty.

        Raises:
            UnstorableError: a field cannot be written as JSON.
        """
        stored = stored_of(self._checked(session))
        if stored is not None and not stored.unsure:
            by_field = self._codec.by_field
            if by_field is not None and stored.values is not None and stored.outdated is None:
                changes = by_field.since(session, stored.keys, stored.values)
                if changes is not None:
                    return changes.names
            if self._codec.text_of(session) == stored.keys:
                return NO_NAMES
        keys = self._codec.written(session)
        if stored is None:
            return frozenset(keys.names)
        return self._codec.changes(session, keys, stored.keys, stored.unsure).names

    def _token_of(self, session: M | SessionToken) -> SessionToken:
        return known(self._checked(session)).tkn if isinstance(session, SessionModel) else session


def _moment(milliseconds: float | None) -> datetime | None:
    """Return a time in milliseconds since 1970 as a datetime; None for None, and for a time past the year 9999."""
    if milliseconds is None:
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None

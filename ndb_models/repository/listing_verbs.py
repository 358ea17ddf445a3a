"""`sessions`: the verb that goes through all sessions of a schema."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Final, TypeVar

from ndb_models.client.sessions import MAX_LISTED, SessionList
from ndb_models.errors import (
    IncompleteSessionError,
    InvalidArgumentError,
    NdbError,
    SessionError,
    SessionGoneError,
    UnsupportedError,
    WrongSchemaError,
)
from ndb_models.repository.core_verbs import CoreVerbs
from ndb_models.schema.envelope import RESERVED_KEY, is_of_schema
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.bulk import in_bulk
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)

# It has ended since it was listed, or became another model's, or is still being created.
_NOT_LISTED: Final = (SessionGoneError, WrongSchemaError, IncompleteSessionError)


class ListingVerbs(CoreVerbs[M]):
    """The verb of a `Repository` that needs no token."""

    async def sessions(self, *, page: int = 256) -> AsyncGenerator[M | SessionError]:
        """Yield all sessions of this model, page by page, in no particular order. Extends no expiry.

            async for session in repo.sessions():
                if not isinstance(session, SessionError):
                    print(session.username)

        Others may create, change and end sessions meanwhile. A session that lives all the time is yielded exactly once.
        One that is created or ends meanwhile is yielded once or not at all. A session is as it was when its page was
        read, and may have ended since. Expired, incomplete and foreign sessions are not yielded.

        Where `get` would raise a `SessionError` for another reason, that error is yielded in place of the session:
        the stored data does not fit the model, or is of another version. With `on_invalid="end"` such sessions are
        ended as by `get`. Every other error ends the iteration. It cannot be resumed; a new one begins from the start.

        One page is in memory at a time. If the iteration is cancelled or left early, nothing is left to clean up.

        Args:
            page: how many sessions of the store, of any model, are looked at with one request. 1 to 4096.

        Raises (at the first step):
            UnsupportedError: the server is a NemesisDB, which cannot list sessions.
            ResponseError: the client's token is for data alone (status 14). A list shows tokens, so it is for admins.
            InvalidArgumentError: `page` is out of range.
        """
        given: object = page
        if type(given) is not int or not 1 <= page <= MAX_LISTED:
            raise InvalidArgumentError(f"page is a number of sessions from 1 to {MAX_LISTED}")
        after = None
        while True:
            listed = await self._listed(after, page)
            tkns = [tkn for tkn, reserved in listed.values.items() if is_of_schema(reserved, self._access.schema)]
            for found in await in_bulk(partial(self.get, extend=False), tkns, None):
                if not isinstance(found, NdbError):
                    yield found
                elif not isinstance(found, SessionError):
                    raise found
                elif not isinstance(found, _NOT_LISTED):
                    yield found
            after = listed.next
            if after is None:
                return

    async def _listed(self, after: SessionToken | None, count: int) -> SessionList:
        try:
            return await self._client.sh_list(RESERVED_KEY, after, count)
        except UnsupportedError as exc:
            raise UnsupportedError("sessions()", f"it lists the server's sessions, and {exc.why}") from exc

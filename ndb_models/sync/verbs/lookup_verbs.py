"""The synchronous verbs of `LookupVerbs`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Never

from ndb_models.index.reindexing import Reindexed
from ndb_models.repository.lookup_verbs import M, Spared
from ndb_models.sessions.bulk import Progress
from ndb_models.sync.calls import taken, told
from ndb_models.sync.verb_bases import OfRepository
from ndb_models.types import SessionToken


class SyncLookupVerbs(OfRepository[M]):
    """The verbs of `LookupVerbs`, synchronous."""

    def find(
        self,
        /,
        *unnamed: Never,
        extend: bool = True,
        limit: int | None = None,
        order: Literal["oldest", "newest"] = "oldest",
        **values: Any,
    ) -> list[M]:
        """Return the sessions that have all these values, ordered by the millisecond in which they took them.

        Every listed session is read, and returned only if it still has the values. A session that has ended, has
        changed, or is still being created is not returned. With a unique field there is at most one.

        Args:
            unnamed: refused, since values are given by name.
            extend: count as a read of the returned sessions, which extends their expiry where reads do. False leaves
                the expiry alone. (A NemesisDB also extends sessions that are read and not returned.)
            limit: the most sessions to return. Further ones are not read.
            order: `"newest"` begins with the session that took the values last.
            values: by field.

        Raises:
            UnsupportedError: `extend=False`, and the server is a NemesisDB, which has no such read.
            StoredDataError: the stored data of a session does not fit the model. With `on_invalid="end"` the session is
                ended instead.
            NewerVersionError, OlderVersionError: a session with these stored values is of a version that this code does
                not take.
        """
        return self._portal.call(
            lambda: self._asynchronous.find(*unnamed, extend=extend, limit=limit, order=order, **values)
        )

    def find_one(self, /, *unnamed: Never, extend: bool = True, **values: Any) -> M | None:
        """Return the session that has these values, or None. Otherwise as `find`.

        Raises:
            InvalidArgumentError: no given field is unique, so there could be several sessions.
        """
        return self._portal.call(lambda: self._asynchronous.find_one(*unnamed, extend=extend, **values))

    def end_all_for(self, /, *unnamed: Never, but: Spared = None, **values: Any) -> int:
        """End all sessions that have these values, and return how many were ended.

        This ends the sessions that have the values when it is called, and their successors if they are rotated
        meanwhile. It also ends sessions that are just being created with the values; their creation fails. A session
        may stay if its creation begins later, or if it is just being given the values. A session of a newer version, or
        with data that does not fit the class, is ended if the values are stored. All sessions are tried, even if ending
        one fails. Calling again does no harm.

        Args:
            unnamed: refused, since values are given by name.
            but: the sessions to spare: a session, its token, or several.
            values: by field.

        Raises:
            InvalidArgumentError: `but` is of another kind.
            NotSavedError: a session to spare was never saved.
        """
        but = taken(but)
        return self._portal.call(lambda: self._asynchronous.end_all_for(*unnamed, but=but, **values))

    def reindex(
        self, tokens: Iterable[SessionToken] = (), *, exclusive: bool = False, progress: Progress | None = None
    ) -> Reindexed:
        """Read every session that the index lists. Remove false entries, add missing ones, and return the numbers.

        Sessions that repositories of the class wrote are found without it. It frees the entries of expired sessions. It
        also adds sessions that the index does not know. The protocol cannot list sessions, so their tokens have to be
        given. A session is listed under its stored values, and under those that the class makes of it. Reading extends
        no session, except on a NemesisDB, which cannot read without extending. Sessions may be used meanwhile. If it is
        cut short, call it again.

        Args:
            tokens: tokens of sessions that the index may not know.
            exclusive: you ensure that no other process writes sessions of this model meanwhile; this is not checked.
                Values that no session has are then removed for good, and unfinished creations are ended at once.
            progress: called now and then, and at the end, with the number of values, then of tokens, that are done.

        Raises:
            InvalidArgumentError: the tokens are not an iterable, but for example a single token. No session was looked
                at.
        """
        tokens = taken(tokens)
        return self._portal.call(
            lambda: self._asynchronous.reindex(tokens, exclusive=exclusive, progress=told(progress))
        )

"""The verbs that find sessions by the values of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, Generic, Literal, Never, TypeAlias, TypeVar

from pydantic import BaseModel

from ndb_models.errors import InvalidArgumentError
from ndb_models.index.finding import Finder
from ndb_models.index.reindexing import Reindexed, Reindexing
from ndb_models.schema.model import SessionModel
from ndb_models.sessions.bulk import Progress
from ndb_models.sessions.reading import LOOK, USE, ReadEffect
from ndb_models.sessions.writing import check_token
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)

Spared: TypeAlias = "SessionModel | SessionToken | Iterable[SessionModel | SessionToken] | None"


class LookupVerbs(Generic[M]):
    """The verbs of a `Repository` for a class that has fields with `Lookup()`.

    All take values of such fields by name, as the constructor takes them. They raise `InvalidArgumentError` for a name
    without such a field, and for a value that does not fit its field. None is not looked up, and raises it too.

    A session has the values that the class makes of it, upgraded and with defaults. A session that other clients wrote,
    or that was written before the field or its `Lookup()` existed, is found after `reindex(tokens)` was given its
    token. If another session has its unique value already, it stays unfound, and is among the `problems` of `reindex`.
    """

    _finder: Finder[M]

    async def find(
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
        self._refuse_unnamed("find", unnamed)
        given: object = limit
        if given is not None and (type(given) is not int or given < 1):
            raise InvalidArgumentError("limit= is a number from 1, or None")
        if order not in ("oldest", "newest"):
            raise InvalidArgumentError("order= is 'oldest' or 'newest'")
        return await self._finder.find(self._finder.values(values), _reading(extend), limit, newest=order == "newest")

    async def find_one(self, /, *unnamed: Never, extend: bool = True, **values: Any) -> M | None:
        """Return the session that has these values, or None. Otherwise as `find`.

        Raises:
            InvalidArgumentError: no given field is unique, so there could be several sessions.
        """
        self._refuse_unnamed("find_one", unnamed)
        looked_for = self._finder.values(values)
        if not self._finder.is_unique(looked_for):
            raise InvalidArgumentError(
                "find_one() needs a field with Lookup(unique=True); find() returns all there are"
            )
        found = await self._finder.find(looked_for, _reading(extend))
        return found[0] if found else None

    async def end_all_for(self, /, *unnamed: Never, but: Spared = None, **values: Any) -> int:
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
        self._refuse_unnamed("end_all_for", unnamed)
        spared = _tokens(but)
        return await self._finder.end(self._finder.values(values), spared)

    async def reindex(
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
        given: object = tokens
        if isinstance(given, (BaseModel, str, bytes)) or not isinstance(given, Iterable):
            raise InvalidArgumentError("reindex() takes several tokens: reindex([tkn])")
        return await Reindexing(self._finder, exclusive=exclusive).run(tokens, progress)

    def _refuse_unnamed(self, verb: str, unnamed: Sized) -> None:
        if unnamed:
            example = self._finder.index.fields[0]
            raise InvalidArgumentError(f"values are given by the names of their fields: {verb}({example}=...)")


def _reading(extend: bool) -> ReadEffect:
    return USE if extend else LOOK


def _tokens(but: Spared) -> frozenset[SessionToken]:
    tokens = [each.tkn if isinstance(each, SessionModel) else each for each in _several(but)]
    for tkn in tokens:
        check_token(tkn)
    return frozenset(tokens)


def _several(but: Spared) -> Iterable[SessionModel | SessionToken]:
    if but is None:
        return ()
    if isinstance(but, (SessionModel, int)):
        return (but,)
    given: object = but
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        check_token(given)
    return but

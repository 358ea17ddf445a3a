"""The verbs that find sessions by the values of their fields."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any, Generic, Never, TypeAlias, TypeVar

from pydantic import BaseModel

from ndb_models.errors import InvalidArgumentError
from ndb_models.repository.access import check_token
from ndb_models.repository.bulk import Progress
from ndb_models.repository.finding import Finder
from ndb_models.repository.reading import LOOK, USE, Reading
from ndb_models.repository.reindexing import Reindexed, Reindexing
from ndb_models.schema.model import SessionModel
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)

Spared: TypeAlias = "SessionModel | SessionToken | Iterable[SessionModel | SessionToken] | None"


class LookupVerbs(Generic[M]):
    """What a `Repository` can do where the class has fields with `Lookup()`.

    All take values of such fields by name, as the constructor takes them, and raise `InvalidArgumentError` where there
    is no such field, where a value does not fit it, and for None, which is not looked up. A session has the values that
    the class makes of it, upgraded and with defaults. One that was written before the field had its `Lookup()`, before
    there was the field, or by other clients, is found once `reindex(tokens)` was told of it; not by a unique value that
    another one has, which is among the `problems`.
    """

    _finder: Finder[M]

    async def find(self, /, *unnamed: Never, extend: bool = True, **values: Any) -> list[M]:
        """Return the sessions that have all these values, in the order in which they took them, to the millisecond.

        Every session is looked at, and returned only if it has the values then: one that has ended, or changed, or is
        still being created, is not. Where a field is unique there is at most one.

        Args:
            unnamed: nothing; here to be refused.
            extend: count as a read of the sessions that are returned, which extends them where reading does. False
                extends nothing. (A NemesisDB extends the others that are looked at, too.)
            values: by field.

        Raises:
            UnsupportedError: `extend=False`, and the server is a NemesisDB, which cannot read so.
            StoredDataError: what is stored of one does not fit the model; with `on_invalid="end"` it is ended instead.
            NewerVersionError, OlderVersionError: one that has the values as it is stored is of a version that this code
                does not take.
        """
        self._refuse_unnamed("find", unnamed)
        return await self._finder.find(self._finder.values(values), _reading(extend))

    async def find_one(self, /, *unnamed: Never, extend: bool = True, **values: Any) -> M | None:
        """Return the session that has these values, or None. Else as `find`.

        Raises:
            InvalidArgumentError: none of the fields is unique, so that there could be several.
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
        """End the sessions that have these values, all of them, and return how many were ended.

        Ended are all that have the values when this is called, those that are rotated meanwhile, and those that are
        just being created, whose creation fails. A session whose creation begins later, and one that is just being
        given the values, may stay. One that the class does not take, of a newer version or with data that does not fit,
        is ended if the values are stored. All are tried, also where ending one fails; calling again does no harm.

        Args:
            unnamed: nothing; here to be refused.
            but: what is spared: a session, its token, or several.
            values: by field.

        Raises:
            InvalidArgumentError: `but` is none of these.
            NotSavedError: a session that is to be spared was never saved.
        """
        self._refuse_unnamed("end_all_for", unnamed)
        spared = _tokens(but)
        return await self._finder.end(self._finder.values(values), spared)

    async def reindex(
        self, tokens: Iterable[SessionToken] = (), *, exclusive: bool = False, progress: Progress | None = None
    ) -> Reindexed:
        """Look at every session that the index lists: remove entries that are false, add those that are missing.

        What repositories of the class wrote is found without it; it frees what sessions that expired have left behind,
        and it makes sessions known that the index does not know: the protocol cannot list sessions, so their tokens
        have to be given. A session is listed under what is stored, and under what the class makes of it. Looking at
        sessions extends none of them, but on a NemesisDB, which cannot read so. May run while sessions are used, and be
        cut short and begun anew.

        Args:
            tokens: of sessions that the index may not know.
            exclusive: nobody else writes sessions of this model meanwhile, which cannot be found out: then values that
                no session has are removed for good, and creations that were cut short are ended at once.
            progress: is called now and then, and at the end, with how many values, then tokens, are done.

        Raises:
            InvalidArgumentError: the tokens are none, such as a single one. Nothing was done.
        """
        given: object = tokens
        if isinstance(given, (BaseModel, str, bytes)) or not isinstance(given, Iterable):
            raise InvalidArgumentError("reindex() takes several tokens: reindex([tkn])")
        return await Reindexing(self._finder, exclusive=exclusive).run(tokens, progress)

    def _refuse_unnamed(self, verb: str, unnamed: Sized) -> None:
        if unnamed:
            example = self._finder.index.fields[0]
            raise InvalidArgumentError(f"values are given by the names of their fields: {verb}({example}=...)")


def _reading(extend: bool) -> Reading:
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

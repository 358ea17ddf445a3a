"""The synchronous verbs of `SessionCommands`. Written by `.ci/sync_verbs.py`, do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ndb_models.client.sessions import NO_TEXTS, Session, SessionList
from ndb_models.sync.verb_bases import OfClient
from ndb_models.types import JsonInput, JsonValue, SessionToken


class SyncSessionCommands(OfClient):
    """The verbs of `SessionCommands`, synchronous."""

    def sh_create_session(
        self,
        durationSeconds: int = 0,
        deleteSessionOnExpire: bool = False,
        extendOnSetAdd: bool = False,
        extendOnGet: bool = False,
    ) -> Session:
        """Create a session without keys, and return it.

        Args:
            durationSeconds: seconds until it expires; 0 for never. Very long durations overflow in a NemesisDB, so it
                gets at most `LONGEST_DURATION`.
            deleteSessionOnExpire: the session ends when it expires. Otherwise it only loses its keys, and the time
                starts again.
            extendOnSetAdd: `sh_set` and `sh_add` start the time anew.
            extendOnGet: `sh_get` starts the time anew.

        If the call is cancelled but the server still creates the session, it is ended in the background.

        Raises:
            ValueError: the duration is negative, or it is 0 and a flag is set, which has no meaning then.
        """
        return self._portal.call(
            lambda: self._asynchronous.sh_create_session(
                durationSeconds, deleteSessionOnExpire, extendOnSetAdd, extendOnGet
            )
        )

    def duration_there(self, seconds: int) -> int:
        """Return a duration in seconds that the server can keep. A NemesisDB gets at most `LONGEST_DURATION`."""
        return self._portal.call(lambda: self._asynchronous.duration_there(seconds))

    def end_surely(self, tkn: SessionToken) -> None:
        """End the session `tkn`, which may have ended already. The request is tried again while the server is away.

        Raises the error of the last attempt.
        """
        return self._portal.call(lambda: self._asynchronous.end_surely(tkn))

    def sh_set(self, keys: Mapping[str, JsonInput], tkn: SessionToken) -> bool:
        """Write keys, over existing ones. An empty mapping writes no keys, but extends the expiry as usual."""
        return self._portal.call(lambda: self._asynchronous.sh_set(keys, tkn))

    def sh_add(self, keys: Mapping[str, JsonInput], tkn: SessionToken) -> bool:
        """Write only the keys that do not exist yet; the others stay as they are. The answer does not say which."""
        return self._portal.call(lambda: self._asynchronous.sh_add(keys, tkn))

    def sh_get(self, keys: Sequence[str], tkn: SessionToken) -> dict[str, JsonValue]:
        """Return the values of some keys. Missing keys are left out."""
        return self._portal.call(lambda: self._asynchronous.sh_get(keys, tkn))

    def sh_peek(self, keys: Sequence[str], tkn: SessionToken) -> dict[str, JsonValue]:
        """Return the values of some keys as `sh_get` does, but never extend the expiry.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
        """
        return self._portal.call(lambda: self._asynchronous.sh_peek(keys, tkn))

    def sh_expire(
        self,
        tkn: SessionToken,
        durationSeconds: int = 0,
        deleteSessionOnExpire: bool = False,
        extendOnSetAdd: bool = False,
        extendOnGet: bool = False,
    ) -> bool:
        """Change how a session expires, and start its time anew. A repeated call starts the time once more.

        Args:
            tkn: the session.
            durationSeconds: as in `sh_create_session`, like all that follow.
            deleteSessionOnExpire: see there.
            extendOnSetAdd: see there.
            extendOnGet: see there.

        A cancelled call may still have been carried out.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
            ValueError: the duration is negative, or it is 0 and a flag is set, which has no meaning then.
        """
        return self._portal.call(
            lambda: self._asynchronous.sh_expire(
                tkn, durationSeconds, deleteSessionOnExpire, extendOnSetAdd, extendOnGet
            )
        )

    def sh_change(
        self,
        keys: Mapping[str, JsonInput],
        tkn: SessionToken,
        *,
        remove: Sequence[str] = (),
        texts: Mapping[str, str] = NO_TEXTS,
        absent: Sequence[str] = (),
    ) -> bool:
        """Write some keys and remove others in one step, if the session's keys are as expected: a compare-and-set.

        A change that is made extends the expiry as `sh_set` does, also with nothing to write. A cancelled call, or one
        that ends in `ConnectionLostError`, may have been carried out. It is not sent again by itself.

        Args:
            keys: the keys to write.
            tkn: the session.
            remove: the keys to remove. A key that is also written is written.
            texts: the JSON texts that keys must have, to the byte as they were stored.
            absent: the names of keys that must be missing.

        Returns:
            True if the change was made, False if a key was not as expected. Then the session is as it was.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
        """
        return self._portal.call(
            lambda: self._asynchronous.sh_change(keys, tkn, remove=remove, texts=texts, absent=absent)
        )

    def sh_rmv(self, keys: Sequence[str], tkn: SessionToken) -> bool:
        """Remove keys. Missing keys do no harm. At least one key must be named (status 42)."""
        return self._portal.call(lambda: self._asynchronous.sh_rmv(keys, tkn))

    def sh_count(self, tkn: SessionToken) -> int:
        """Return how many keys the session has."""
        return self._portal.call(lambda: self._asynchronous.sh_count(tkn))

    def sh_contains(self, keys: Sequence[str], tkn: SessionToken) -> list[str]:
        """Return the given keys that exist, in the given order."""
        return self._portal.call(lambda: self._asynchronous.sh_contains(keys, tkn))

    def sh_keys(self, tkn: SessionToken) -> list[str]:
        """Return the names of all keys, in any order."""
        return self._portal.call(lambda: self._asynchronous.sh_keys(tkn))

    def sh_clear(self, tkn: SessionToken) -> int:
        """Remove all keys of the session; return how many there were. The session stays."""
        return self._portal.call(lambda: self._asynchronous.sh_clear(tkn))

    def sh_clear_set(self, keys: Mapping[str, JsonInput], tkn: SessionToken) -> int:
        """Remove all keys, then write the given ones; return how many were removed. Does not extend the expiry."""
        return self._portal.call(lambda: self._asynchronous.sh_clear_set(keys, tkn))

    def sh_end(self, tkn: SessionToken) -> bool:
        """End the session, and delete its keys."""
        return self._portal.call(lambda: self._asynchronous.sh_end(tkn))

    def sh_end_all(self) -> int:
        """End all sessions of the server; return how many there were."""
        return self._portal.call(lambda: self._asynchronous.sh_end_all())

    def sh_session_exists(self, tkns: Sequence[SessionToken]) -> list[SessionToken]:
        """Return those of `tkns` that name a session, in the given order."""
        return self._portal.call(lambda: self._asynchronous.sh_session_exists(tkns))

    def sh_list(self, key: str, after: SessionToken | None = None, count: int = 256) -> SessionList:
        """Return a key of the next sessions, in an order of the server's own. Never extends the expiry.

        Begin without `after`, and go on with the `next` of each answer until it is None. Then each session that lived
        all the time was returned exactly once. A session that was created or ended meanwhile may have been returned.

        Args:
            key: the name of the key. Sessions without it are left out.
            after: the `next` of the answer before.
            count: how many sessions are looked at, 1 to 4096. The answer may have fewer, or none.

        Raises:
            UnsupportedError: the server is a NemesisDB, which has no such command.
            ResponseError: the client's token is for data alone (status 14).
        """
        return self._portal.call(lambda: self._asynchronous.sh_list(key, after, count))

    def sh_info(self, tkn: SessionToken) -> dict[str, JsonValue]:
        """Return `keyCnt` and `expires` of a session. If it expires, also return `expiry` (in seconds)."""
        return self._portal.call(lambda: self._asynchronous.sh_info(tkn))

    def sh_info_all(self) -> dict[str, JsonValue]:
        """Return the number of sessions and of their keys: `totalSessions` and `totalKeys`."""
        return self._portal.call(lambda: self._asynchronous.sh_info_all())

    def sh_save(self, name: str, tkns: Sequence[SessionToken] = ()) -> bool:
        """Save all sessions, or only the sessions of `tkns`, to the data set `name`.

        The server must have a persist path (status 14).

        Raises:
            ValueError: the name is not one path segment, see `why_not_a_data_set`. The request was not sent.
        """
        return self._portal.call(lambda: self._asynchronous.sh_save(name, tkns))

    def sh_load(self, name: str) -> dict[str, JsonValue]:
        """Restore the sessions of a data set under their old tokens, and start their time anew.

        Existing sessions stay as they are. Returns `name`, and the numbers of restored `sessions` and `keys`. An
        unknown data set is status 142.

        Raises:
            ValueError: as `sh_save`.
        """
        return self._portal.call(lambda: self._asynchronous.sh_load(name))

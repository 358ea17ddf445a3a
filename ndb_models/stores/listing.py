"""Going through all sessions in pages, while others create and end sessions.

Pages follow an order of the tokens that never changes. So a session that lives all the time stands on one page, and
only on one. A token says where a page ended. The next page begins behind it, whether or not its session still lives.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Sequence
from typing import Final

from ndb_models.stores.contract import SessionPage, UnknownSessionError, Verbs
from ndb_models.turns import Work
from ndb_models.types import SessionToken

# Tokens that are sorted at a time, in less than a turn.
_SORTED_TOGETHER: Final = 4096
# Seconds after its latest page in which a listing may go on without sorting the tokens again.
_KEPT: Final = 60


def reading_page(verbs: Verbs, tokens: Sequence[SessionToken], name: str, most: int) -> Work[SessionPage]:
    """Read a key of each of these sessions, as long as the values have no more than `most` bytes together."""
    page = SessionPage({}, None)
    size = 0
    for token in tokens:
        value = _value(verbs, token, name)
        if value is not None:
            size += len(value)
            if size > most and page.values:
                return page
            page.values[token] = value
        page.last = token
        yield
    return page


def _value(verbs: Verbs, token: SessionToken, name: str) -> bytes | None:
    try:
        return verbs.peek(token, (name,)).get(name)
    except UnknownSessionError:
        return None


class TokenOrder:
    """The tokens of a store in memory, sorted, as of the beginning of its latest listing.

    A listing goes through tokens that were sorted when it began, or later: the sessions that live all the time are
    among both. So one order is kept, in 8 bytes a session, until a listing comes to its end. A listing that was left
    early never does; its order is dropped by the first sweep after a minute without a page.
    """

    def __init__(self) -> None:
        self.tokens: array[int] | None = None
        self._begun = 0
        # The number of the listing at whose beginning `tokens` was made.
        self._number = 0
        # When the latest page was read, on the store's clock.
        self._used = 0.0

    def sorting(self, read: Callable[[], list[SessionToken] | array[int]]) -> Work[array[int]]:
        """Sort the tokens of all sessions, which are read in the first turn."""
        self._begun += 1
        number = self._begun
        tokens = read()
        runs: list[array[int]] = []
        while tokens:
            runs.append(array("Q", sorted(tokens[-_SORTED_TOGETHER:])))
            del tokens[-_SORTED_TOGETHER:]  # freeing all at once would take longer than a turn
            yield
        ordered = array("Q")
        for token in heapq.merge(*runs):
            ordered.append(token)
            yield
        if number > self._number:  # listings may begin at the same time
            self.tokens, self._number = ordered, number
        return ordered

    def note_use(self, now: float) -> None:
        """Note that a page is read now, in seconds."""
        self._used = now

    def drop(self) -> None:
        """Free the tokens at the end of a listing. Another listing that needs them has them sorted anew."""
        self.tokens = None

    def drop_unused(self, now: float) -> None:
        """Free the tokens if no page was read for a minute."""
        if not 0 <= now - self._used < _KEPT:  # a clock may be set back
            self.drop()

"""Draw a random sample of sessions while they are listed, in bounded memory."""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterator, Mapping
from random import Random
from typing import Final

from ndb_models.types import SessionToken

MAX_DRAWN: Final = 1_000_000
"""The most sessions of one schema that a sample holds."""


class Drawing:
    """Draws a sample from sessions that are offered one by one. Their number is not known beforehand.

    Every session of a version has the same chance. The sample is divided evenly among the versions, so that a few
    sessions of an old version are not missed. A version with fewer sessions leaves its share to the others. Holds at
    most `limit` tokens for each version, 8 bytes each.

    Args:
        limit: the most sessions of the sample, 1 to `MAX_DRAWN`.
        random: draws the numbers.
    """

    def __init__(self, limit: int, random: Random | None = None) -> None:
        self._limit = limit
        self._random = random or secrets.SystemRandom()
        self._drawn: dict[int, array[int]] = {}
        self._offered: dict[int, int] = {}

    def offer(self, version: int, tkn: SessionToken) -> None:
        """Take a session of this stored version into account."""
        drawn = self._drawn.setdefault(version, array("Q"))
        offered = self._offered[version] = self._offered.get(version, 0) + 1
        if len(drawn) < self._limit:
            drawn.append(tkn)
            return
        place = self._random.randrange(offered)
        if place < self._limit:
            drawn[place] = tkn

    def sample(self) -> Iterator[SessionToken]:
        """Yield the tokens of the sample. Each version's part is drawn once more, to its share of the limit."""
        for version, share in shares({version: len(drawn) for version, drawn in self._drawn.items()}, self._limit):
            yield from self._random.sample(self._drawn[version], share)


def shares(available: Mapping[int, int], limit: int) -> Iterator[tuple[int, int]]:
    """Divide a limit evenly among versions, by how many sessions each has. Yield the version and its share."""
    remaining = limit
    by_size = sorted(available.items(), key=lambda item: item[1])
    for index, (version, size) in enumerate(by_size):
        share = min(size, -(-remaining // (len(by_size) - index)))
        remaining -= share
        yield version, share

"""Shared by the watches of configurations and of sessions: the check of their interval, and their log of an outage."""

from __future__ import annotations

import logging
import math

from ndb_models.errors import InvalidArgumentError, NdbError


def check_interval(name: str, given: object) -> None:
    """Refuse a time between two looks that is no positive number of seconds.

    Raises:
        InvalidArgumentError: it is not. The message calls it `name`.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given < math.inf:
        raise InvalidArgumentError(f"{name} is a positive number of seconds")


class Outage:
    """Logs once that a store gives no answer, and once that it answers again.

    Args:
        logger: the logger.
        name: the name of the watched object, for the messages.
        meanwhile: the state until the store answers again, in words.
    """

    def __init__(self, logger: logging.Logger, name: str, meanwhile: str) -> None:
        self._logger = logger
        self._name = name
        self._meanwhile = meanwhile
        self._is_on = False

    def goes_on(self, error: NdbError) -> None:
        """Note that a look got no answer."""
        if not self._is_on:
            self._is_on = True
            self._logger.warning("%s: the store gives no answer, %s: %s", self._name, self._meanwhile, error)

    def is_over(self) -> None:
        """Note that a look got an answer."""
        if self._is_on:
            self._is_on = False
            self._logger.info("%s: the store answers again", self._name)

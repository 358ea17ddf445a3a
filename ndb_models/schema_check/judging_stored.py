"""Judge stored sessions by the code at hand: which it could not read, and which it would upgrade or shorten. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from ndb_models.errors import StoredDataError, UpgradeError
from ndb_models.json_text import join_members
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.envelope import Envelope
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.lifetime import Timer, brought_under, exceeds
from ndb_models.schema.lookup import lookups_of
from ndb_models.schema.model import SessionModel
from ndb_models.schema.problems import WHOLE, raised
from ndb_models.schema.versions import Upgrades
from ndb_models.sessions.reading import Read
from ndb_models.sessions.upgrade_plan import own_keys
from ndb_models.types import SessionToken

Problem = tuple[str, str]
"""A field, or the step of an upgrade, and the reason. Neither holds a value."""


class Readability(Enum):
    """The outcome of reading a stored session by the code at hand."""

    READ = "it is read as it is"
    UPGRADED = "it is read, after an upgrade"
    INVALID = "it does not fit the model"
    NOT_UPGRADED = "a step of its upgrade fails"
    NEWER = "newer code wrote it"
    OLDER = "its version is no longer upgraded"

    @property
    def is_broken(self) -> bool:
        """True if the code at hand cannot read the session."""
        return self not in (Readability.READ, Readability.UPGRADED)


class Judged(NamedTuple):
    """The outcome for one session: its readability, and its problems, which are empty unless it does not fit."""

    readability: Readability
    problems: tuple[Problem, ...] = ()


def readability_of_version(version: int, upgrades: Upgrades) -> Readability | None:
    """Return why a stored version cannot be read at all; None if its sessions have to be looked at."""
    if version > upgrades.version:
        return Readability.NEWER
    return Readability.OLDER if version < upgrades.oldest else None


class StoredJudge:
    """Judges the stored sessions of one class.

    Raises:
        SchemaError: the class lacks a step of its upgrades, or names a type that is not defined.
    """

    def __init__(self, model: type[SessionModel]) -> None:
        self._upgrades = model.session_options.upgrades
        self._upgrades.check_chain()
        self._codec: ModelCodec[Any] = ModelCodec(model, lookups_of(model))

    def judge(self, tkn: SessionToken, whole: Read) -> Judged:
        """Return the outcome for a session that was read whole. Runs upgrades and validators, and does not write.

        Never raises: an error of the user's code is a problem of the session.
        """
        version = whole.envelope.version if whole.envelope is not None else self._upgrades.version
        refused = readability_of_version(version, self._upgrades)
        if refused is not None:
            return Judged(refused)
        try:
            keys = self._upgraded(own_keys(whole), version, tkn)
        except UpgradeError as exc:
            return Judged(Readability.NOT_UPGRADED, exc.problems)
        problems = self._problems(keys, tkn)
        if problems:
            return Judged(Readability.INVALID, problems)
        return Judged(Readability.READ if version == self._upgrades.version else Readability.UPGRADED)

    def _upgraded(self, keys: Mapping[str, bytes], version: int, tkn: SessionToken) -> Mapping[str, bytes]:
        return keys if version == self._upgrades.version else self._upgrades.run(keys, version, tkn)

    def _problems(self, keys: Mapping[str, bytes], tkn: SessionToken) -> tuple[Problem, ...]:
        names = keys if self._codec.open else self._codec.names
        try:
            self._codec.load(join_members({name: keys[name] for name in names if name in keys}), tkn)
        except StoredDataError as exc:
            return exc.problems
        except Exception as exc:  # noqa: BLE001 - a validator of the user may raise anything, and `get` would raise it
            return ((WHOLE, raised(exc)),)
        return ()


_FOREVER: Final = float("inf")


def is_shortened(envelope: Envelope, timer: Timer, expiry: Expiry | None, now: float) -> bool:
    """Tell whether the next read would end a session earlier than its stored expiry does.

    Args:
        envelope: the contents of its reserved key.
        timer: the timer that the store has for it.
        expiry: the expiry of its class.
        now: in milliseconds since 1970.
    """
    if not exceeds(envelope, expiry, now):
        return False
    new, new_timer = brought_under(envelope, timer, expiry, now)
    extends_less = (
        new_timer.extend_on_get < timer.extend_on_get or new_timer.extend_on_set_add < timer.extend_on_set_add
    )
    return (
        (new_timer.duration or _FOREVER) < (timer.duration or _FOREVER)
        or (new.deadline or _FOREVER) < (envelope.deadline or _FOREVER)
        or (extends_less and timer.duration > 0)
    )

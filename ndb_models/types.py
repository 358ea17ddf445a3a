"""The types that every layer shares: JSON values, session tokens, clocks.

A leaf: it does not import from this package. `JsonValue` is Pydantic's: a JSON value as it is read, with lists and
dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import JsonValue as JsonValue
from typing_extensions import TypeAliasType

# A type with its own name at run time, so that Pydantic takes it as the type of a field.
JsonInput = TypeAliasType(
    "JsonInput", "None | bool | int | float | str | Sequence[JsonInput] | Mapping[str, JsonInput]"
)
"""A JSON value to write, with any sequence for an array and any mapping for an object."""

SessionToken: TypeAlias = int
"""Names a session: an unsigned 64-bit integer that the server chooses. A secret: it gives access to the session."""

Clock: TypeAlias = Callable[[], float]
"""Returns the time in seconds since its own epoch. Never goes back."""


class ExpirySettings(NamedTuple):
    """How a session expires: `duration` in seconds; 0 is never.

    A use restarts the timer only if that was last done at least `touch_every` seconds ago.
    """

    duration: int = 0
    delete_session: bool = False
    extend_on_set_add: bool = False
    extend_on_get: bool = False
    touch_every: int = 0


NEVER: Final = ExpirySettings()

shared_settings: Callable[[int, bool, bool, bool, int], ExpirySettings] = lru_cache(maxsize=256)(ExpirySettings)
"""Makes settings. Equal settings are one object, since any number of sessions have the same few."""


UNBOUNDED: Final = 2**31
"""The most bytes of an answer to a caller in this process, who harms only itself: as good as no limit."""

LONGEST_PAUSE: Final = 2**62
"""The longest `touch_every`, in seconds: a store keeps it as a signed 64-bit integer. It is as good as for ever."""

# Of `ExpirySettings`, in their order. The last is this package's own.
_NAMES: Final[Sequence[str]] = ("duration", "deleteSession", "extendOnSetAdd", "extendOnGet", "touchEvery")


def settings_in(expiry: Mapping[str, Any] | None) -> ExpirySettings:
    """Return the settings in an `expiry` parameter of the protocol; None is `NEVER`."""
    if expiry is None:
        return NEVER
    duration, deletes, on_set_add, on_get, touch_every = (expiry.get(name, 0) for name in _NAMES)
    return shared_settings(duration, bool(deletes), bool(on_set_add), bool(on_get), min(touch_every, LONGEST_PAUSE))


def expiry_parameter(settings: ExpirySettings) -> Mapping[str, Any]:
    """Return settings as the `expiry` parameter of the protocol."""
    parameter: dict[str, Any] = dict(zip(_NAMES, settings, strict=True))
    if not settings.touch_every:
        del parameter["touchEvery"]
    return parameter


def redact(token: object) -> str:
    """Return a token as logs and errors may show it: its last four digits, none for a token of four or fewer."""
    return f"...{str(token)[-4:]}" if isinstance(token, int) and token > 9999 else "...."


NAMESPACE_END: Final = "\x1f"
"""Stands between a namespace and the name of a schema where sessions are stored. Neither can contain it."""

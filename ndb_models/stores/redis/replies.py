"""The meanings of a server's error replies, as a table. No I/O.

The text of an error may hold keys and arguments. It is never shown, only its first word, the code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from ndb_models.errors import StoreError, StoreFullError


class Reaction(Enum):
    """The reaction to an error reply."""

    LOAD = auto()
    """The server does not know the script: send its source. It was not run."""
    MOVED = auto()
    """Another server has the slot, from now on. The command was not run."""
    ASK = auto()
    """Another server has the key, this once. The command was not run."""
    ELSEWHERE = auto()
    """This server is no master any more, or the cluster is changing: look anew, and repeat. The command was not run."""
    UNSTEADY = auto()
    """The slot is on its way to another server, and not all keys are at one of them. The command was not run."""
    LATER = auto()
    """The server is busy for the moment: repeat after a pause. The command was not run."""
    REFUSED = auto()
    """The command was not run, and repeating it would not help."""
    FAILED = auto()
    """The command failed, perhaps halfway."""


Kind: TypeAlias = Callable[[str, str, bool], StoreError]


class ErrorReply(NamedTuple):
    """An error reply, understood. `target` is the address in a redirection."""

    code: str
    reaction: Reaction
    kind: Kind
    reason: str
    target: str = ""


_NO_ACCESS: Final = "the server refuses this user; check user, password and its ACL"

_MEANINGS: Final[Mapping[str, tuple[Reaction, Kind, str]]] = {
    "NOSCRIPT": (Reaction.LOAD, StoreError, "the server does not keep scripts"),
    "MOVED": (Reaction.MOVED, StoreError, "its slots keep moving"),
    "ASK": (Reaction.ASK, StoreError, "its slots keep moving"),
    "READONLY": (Reaction.ELSEWHERE, StoreError, "the server is a replica, and no master was found"),
    "MASTERDOWN": (Reaction.ELSEWHERE, StoreError, "the server is a replica, and no master was found"),
    "CLUSTERDOWN": (Reaction.ELSEWHERE, StoreError, "the cluster is down: too few of its masters are up"),
    "TRYAGAIN": (Reaction.UNSTEADY, StoreError, "its slots keep moving"),
    "LOADING": (Reaction.LATER, StoreError, "the server is still loading its data"),
    "BUSY": (Reaction.LATER, StoreError, "a script of someone blocks the server"),
    "NOREPLICAS": (Reaction.LATER, StoreError, "the server has fewer replicas than its min-replicas-to-write"),
    "OOM": (Reaction.REFUSED, StoreFullError, "the server's maxmemory is reached; nothing of this was written"),
    "MISCONF": (Reaction.REFUSED, StoreError, "the server takes no writes, as it cannot save its data to its disk"),
    "NOAUTH": (Reaction.REFUSED, StoreError, "the server asks for a password"),
    "WRONGPASS": (Reaction.REFUSED, StoreError, _NO_ACCESS),
    "NOPERM": (Reaction.REFUSED, StoreError, _NO_ACCESS),
    "CROSSSLOT": (Reaction.REFUSED, StoreError, "the keys of one command are in different slots"),
    "WRONGTYPE": (Reaction.FAILED, StoreError, "a key holds another kind of value: another program writes there"),
}

# Redis before 7 wraps the error of a command in the error of the script.
_WRAPPED: Final = re.compile(r"(?::|^ERR) -([A-Z]+) ")


def understood(text: str) -> ErrorReply:
    """Return the meaning of the text of an error reply."""
    code, _, rest = text.partition(" ")
    if code == "ERR" and (wrapped := _WRAPPED.search(text)) is not None:
        code = wrapped[1]
    if code not in _MEANINGS:
        shown = code if code.isascii() and code.isalpha() and code.isupper() else "an error"
        return ErrorReply(code, Reaction.FAILED, StoreError, f"the server answered {shown}")
    reaction, kind, reason = _MEANINGS[code]
    target = rest.rpartition(" ")[2] if reaction in (Reaction.MOVED, Reaction.ASK) else ""
    return ErrorReply(code, reaction, kind, reason, target)

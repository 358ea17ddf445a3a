"""The end of a session, as hooks and watches tell it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ndb_models.types import SessionToken

EndReason: TypeAlias = Literal["deleted", "idle", "absolute", "replaced", "unknown"]
"""Why a session ended.

- `"deleted"`: a verb ended it. A watch also says so if another process ended or rotated it.
- `"idle"`: it was not used for its idle time.
- `"absolute"`: its absolute time was over.
- `"replaced"`: a verb of this repository gave it another token.
- `"unknown"`: it was gone when the watch began.
"""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """The end of a session: its token `tkn`, the `reason`, and the `successor` that replaces it, or None.

    The repr shows no token.
    """

    tkn: SessionToken = field(repr=False)
    reason: EndReason
    successor: SessionToken | None = field(default=None, repr=False)

"""Errors of sessions in web applications that need no framework. `ndb_models.errors` draws the whole tree."""

from __future__ import annotations

from collections.abc import Iterable

from ndb_models.errors import SessionError
from ndb_models.types import SessionToken


class ChangedTooLateError(SessionError):
    """A session was changed after the answer had begun, so the change was not stored.

    Attributes: as of `SessionError`; `fields`, the changed fields, in order.
    """

    def __init__(self, model: str, tkn: SessionToken | None, fields: Iterable[str]) -> None:
        self.fields: tuple[str, ...] = tuple(sorted(fields))
        super().__init__(
            model,
            tkn,
            f"{', '.join(self.fields)} changed after the answer had begun, which was not stored: change the session"
            " before, or use repo.edit(session.tkn) in streams, background tasks and WebSockets",
        )


class AnswerBegunError(SessionError):
    """The answer had begun already, so its cookie cannot be changed. The call did no work."""

    def __init__(self, model: str, verb: str) -> None:
        super().__init__(model, None, f"{verb} comes before the answer begins: its cookie is sent with the headers")

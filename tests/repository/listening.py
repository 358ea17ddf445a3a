"""A listener that keeps what hooks are told, and repositories by every way to reach an engine."""

from __future__ import annotations

from typing import Any, TypeAlias

from ndb_models import Repository, SessionEnd, SessionModel

Act: TypeAlias = "tuple[str, int] | tuple[str, int, object]"


class Listener:
    """Keeps every act that a repository tells, in order: its kind, its session, and the fields or the reason."""

    def __init__(self, repo: Repository[Any]) -> None:
        self.acts: list[Act] = []
        self.ends: list[SessionEnd] = []
        self.hooks = self.created, self.changed, self.ended
        repo.on_created(self.created)
        repo.on_changed(self.changed)
        repo.on_ended(self.ended)

    def created(self, session: SessionModel) -> None:
        self.acts.append(("created", session.tkn))

    async def changed(self, session: SessionModel, fields: frozenset[str]) -> None:
        self.acts.append(("changed", session.tkn, set(fields)))

    def ended(self, end: SessionEnd) -> None:
        self.acts.append(("ended", end.tkn, end.reason))
        self.ends.append(end)

    def told(self) -> list[Act]:
        """Return what was told since the last time."""
        acts, self.acts = self.acts, []
        return acts

    def of(self, tkn: int) -> list[Act]:
        """Return what was told of one session."""
        return [act for act in self.acts if act[1] == tkn]

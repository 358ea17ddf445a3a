"""Every verb, called the same way: on a repository, with a model that was saved in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pydantic import BaseModel

from ndb_models import Repository
from tests.repository.models import User

Verb: TypeAlias = Callable[[Repository[User], User], Awaitable[object]]


class NameView(BaseModel):
    username: str


async def edit(repo: Repository[User], user: User) -> User:
    async with repo.edit(user.tkn) as edited:
        edited.visits += 1
    return edited


async def save_changed(repo: Repository[User], user: User) -> User:
    user.visits += 1
    return await repo.save(user)


READING: dict[str, Verb] = {
    "get": lambda repo, user: repo.get(user.tkn),
    "refresh": lambda repo, user: repo.refresh(user),
    "project": lambda repo, user: repo.project(user.tkn, NameView),
}
"""Verbs that return what is stored."""

CHANGING: dict[str, Verb] = {
    "update": lambda repo, user: repo.update(user.tkn, visits=5),
    "edit": edit,
    "rotate": lambda repo, user: repo.rotate(user),
}
"""Verbs that read what is stored, and change it."""

CHECKING: dict[str, Verb] = {**READING, **CHANGING, "touch": lambda repo, user: repo.touch(user.tkn)}
"""Verbs that read the session, and so find out what it is."""

SAVING: dict[str, Verb] = {"save changed": save_changed, "save unchanged": lambda repo, user: repo.save(user)}
"""Verbs that write and do not read."""

LIVING: dict[str, Verb] = {
    **CHECKING,
    **SAVING,
    "ttl": lambda repo, user: repo.ttl(user.tkn),
    "ttl of the model": lambda repo, user: repo.ttl(user),
    "raw": lambda repo, user: repo.raw(user.tkn),
}
"""Verbs that raise where there is no such session."""

"""The parts of a repository, for layers that show its sessions."""

from __future__ import annotations

from typing import Any, NamedTuple

from ndb_models.client import NdbClient
from ndb_models.repository.core_verbs import CoreVerbs
from ndb_models.schema.model import SessionModel


class RepositoryParts(NamedTuple):
    """The client of a repository, its model, and the schema that its sessions are stored under, namespace included."""

    client: NdbClient
    model: type[SessionModel]
    schema: str


def parts_of(repository: CoreVerbs[Any]) -> RepositoryParts:
    """Return the parts of a repository."""
    parts = vars(repository)
    return RepositoryParts(parts["_client"], parts["_model"], parts["_access"].schema)

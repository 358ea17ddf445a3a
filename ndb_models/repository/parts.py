"""What a repository was made of, for layers that show its sessions."""

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
    """Return what a repository was made of."""
    parts = vars(repository)
    return RepositoryParts(parts["_client"], parts["_model"], parts["_access"].schema)

"""The bases of the synchronous verbs: an asynchronous object, and the portal to its event loop."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

from ndb_models.client import NdbClient
from ndb_models.config import ConfigRepository
from ndb_models.repository import Repository
from ndb_models.schema import SessionModel
from ndb_models.sync.portal import Portal

M = TypeVar("M", bound=SessionModel)
C = TypeVar("C", bound=BaseModel)


class OfClient:
    """Has a client."""

    _portal: Portal

    @property
    def _asynchronous(self) -> NdbClient:
        return self._portal.client


class OfRepository(Generic[M]):
    """Has a repository."""

    _portal: Portal
    _asynchronous: Repository[M]


class OfConfiguration(Generic[C]):
    """Has a repository of a configuration."""

    _portal: Portal
    _asynchronous: ConfigRepository[C]

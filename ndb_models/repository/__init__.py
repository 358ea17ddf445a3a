"""Repositories: they store models as sessions, and give them back."""

from ndb_models.index.reindexing import Reindexed
from ndb_models.repository.description import SessionDescription
from ndb_models.repository.repository import Repository

__all__ = ["Reindexed", "Repository", "SessionDescription"]

"""Repositories: where models are stored as sessions and given back."""

from ndb_models.repository.reindexing import Reindexed
from ndb_models.repository.repository import Repository

__all__ = ["Reindexed", "Repository"]

"""Repositories: they store models as sessions or as a configuration, and give them back."""

from ndb_models.repository.configuration import ConfigDifference, ConfigRepository
from ndb_models.repository.reindexing import Reindexed
from ndb_models.repository.repository import Repository
from ndb_models.repository.watching import ConfigChange, ConfigWatch

__all__ = ["ConfigChange", "ConfigDifference", "ConfigRepository", "ConfigWatch", "Reindexed", "Repository"]

"""Configuration: the shared keys as one model, and watching them."""

from ndb_models.config.configuration import ConfigDifference, ConfigRepository
from ndb_models.config.watching import ConfigChange, ConfigWatch

__all__ = ["ConfigChange", "ConfigDifference", "ConfigRepository", "ConfigWatch"]

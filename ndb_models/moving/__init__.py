"""Copies all data from one place to another, so that no user is locked in."""

from ndb_models.client.options import OptionArguments
from ndb_models.moving.backups import backup
from ndb_models.moving.copying import Copied, copy, is_server
from ndb_models.moving.endpoints import Kinds

__all__ = ["Copied", "Kinds", "OptionArguments", "backup", "copy", "is_server"]

"""Copying everything from one place to another, so that nobody is locked in."""

from ndb_models.copying.backups import backup
from ndb_models.copying.copying import Copied, copy
from ndb_models.copying.places import Kinds

__all__ = ["Copied", "Kinds", "backup", "copy"]

"""The store in an SQLite file: durable, and shared by any number of processes."""

from ndb_models.stores.sqlite.options import SqliteOptions
from ndb_models.stores.sqlite.store import SqliteStore

__all__ = ["SqliteOptions", "SqliteStore"]

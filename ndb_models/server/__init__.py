"""The engine behind a port."""

from ndb_models.server.server import NdbServer

__all__ = ["NdbServer"]

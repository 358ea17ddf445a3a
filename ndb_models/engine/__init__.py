"""The server without its sockets: one frame in, one frame out, on any store."""

from ndb_models.engine.engine import Engine

__all__ = ["Engine"]

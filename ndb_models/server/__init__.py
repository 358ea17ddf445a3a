"""The server: an engine behind a port."""

from ndb_models.server.options import ServerOptions
from ndb_models.server.server import NdbServer
from ndb_models.server.tokens import Role, Tokens

__all__ = ["NdbServer", "Role", "ServerOptions", "Tokens"]

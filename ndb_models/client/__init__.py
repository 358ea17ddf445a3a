"""The raw client: NemesisDB's commands as typed coroutines, over a WebSocket or in-process."""

from ndb_models.client.client import NdbClient
from ndb_models.client.sessions import Session
from ndb_models.errors import NdbError, NdbException, ResponseError

__all__ = ["NdbClient", "NdbError", "NdbException", "ResponseError", "Session"]

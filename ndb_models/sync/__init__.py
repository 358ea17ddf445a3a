"""The client and the repositories for programs without an event loop: Flask views, workers, scripts, notebooks.

with SyncClient.connect("memory://") as client:
    repo = SyncRepository(client, UserSession)
    session = repo.save(UserSession(username="billy"))
    session = repo.get(session.tkn)
"""

from ndb_models.sync.client import SyncClient
from ndb_models.sync.configuration import SyncConfigRepository
from ndb_models.sync.repository import SyncRepository
from ndb_models.sync.watching import SyncConfigWatch

__all__ = ["SyncClient", "SyncConfigRepository", "SyncConfigWatch", "SyncRepository"]

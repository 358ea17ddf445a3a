"""Repositories: they store models as sessions, and give them back."""

from ndb_models.index.reindexing import Reindexed
from ndb_models.repository.description import SessionDescription
from ndb_models.repository.opened import OpenedSession
from ndb_models.repository.pending import DecidingRepository, PendingSave
from ndb_models.repository.repository import Repository
from ndb_models.repository.session_end import EndReason, SessionEnd

__all__ = [
    "DecidingRepository",
    "EndReason",
    "OpenedSession",
    "PendingSave",
    "Reindexed",
    "Repository",
    "SessionDescription",
    "SessionEnd",
]

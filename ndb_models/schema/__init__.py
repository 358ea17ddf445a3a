"""Typed sessions: the model, its options, and the one place where a model becomes keys and back."""

from ndb_models.schema.class_keywords import SessionKeywords, SessionMeta
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.lookup import Lookup
from ndb_models.schema.merge_marks import Merge
from ndb_models.schema.model import SessionModel
from ndb_models.schema.unstable import UnstableFieldWarning
from ndb_models.schema.zoned import ZonedDatetime

__all__ = [
    "Expiry",
    "Lookup",
    "Merge",
    "SessionKeywords",
    "SessionMeta",
    "SessionModel",
    "UnstableFieldWarning",
    "ZonedDatetime",
]

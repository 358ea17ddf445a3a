"""The full names of the classes that the plugin knows."""

from __future__ import annotations

from typing import Final

BASE_MODEL: Final = "pydantic.main.BaseModel"
SESSION_MODEL: Final = "ndb_models.schema.model.SessionModel"
LOOKUP: Final = "ndb_models.schema.lookup.Lookup"

METACLASSES: Final = frozenset(
    {
        "pydantic._internal._model_construction.ModelMetaclass",
        "ndb_models.schema.class_keywords.SessionMeta",
    }
)
"""The metaclasses that take no keywords but Pydantic's own and those of a session model."""

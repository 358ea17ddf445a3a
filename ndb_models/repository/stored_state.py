"""The stored state of a repository's models."""

from __future__ import annotations

from typing import TypeVar

from ndb_models.errors import NotSavedError
from ndb_models.json_text import ObjectText
from ndb_models.schema.lifetime import Lifetime
from ndb_models.schema.model import SessionModel, Stored, set_stored, stored_of
from ndb_models.types import SessionToken

M = TypeVar("M", bound=SessionModel)


def created(session: M, keys: ObjectText, tkn: SessionToken, lifetime: Lifetime) -> M:
    """Return the model with the token of its new session. If it has another token by now, return a copy."""
    if stored_of(session) is not None:  # it was stored before, or meanwhile
        session = session.model_copy(deep=True)
    set_stored(session, Stored(tkn, keys.text, lifetime.deadline))
    return session


def known(session: SessionModel) -> Stored:
    """Return the stored state of a model's session.

    Raises:
        NotSavedError: the model has no session.
    """
    stored = stored_of(session)
    if stored is None:
        raise NotSavedError(type(session).__name__)
    return stored

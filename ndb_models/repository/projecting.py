"""A view of a repository's sessions: the keys that it reads, and the model that it makes of them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ndb_models.errors import InvalidArgumentError, StoredDataError
from ndb_models.json_text import join_members
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.projection import check_view
from ndb_models.sessions.reading import Read
from ndb_models.types import SessionToken

V = TypeVar("V", bound=BaseModel)


class Projection(Generic[V]):
    """Shows a part of a session as another model.

    Args:
        view: the class of that model.
        model: the class of the sessions.
        codec: the codec of that class.

    Raises:
        InvalidArgumentError: the view is no model class.
        SchemaError: it does not fit the class of the sessions, or would show other values.
    """

    def __init__(self, view: type[V], model: type[BaseModel], codec: ModelCodec[Any]) -> None:
        given: object = view
        if not (isinstance(given, type) and issubclass(given, BaseModel)):
            raise InvalidArgumentError("a view is a Pydantic model, whose fields are some of the session's")
        self._codec: ModelCodec[V] = ModelCodec(view)  # resolves the names of types that were not defined yet
        self._of_sessions = codec
        self.names: tuple[str, ...] = check_view(view, model)
        """The keys to read."""

    def shown(self, read: Read, tkn: SessionToken) -> V:
        """Return the view of a read. A key that is not stored has the default of the session's class.

        Raises:
            StoredDataError: the stored data does not fit the view.
        """
        try:
            shown = self._codec.load(read.text, tkn)
            if shown.__pydantic_fields_set__.issuperset(self.names):
                return shown
        except StoredDataError:
            if read.keys.keys() >= {*self.names}:
                raise
        defaults = self._of_sessions.fields.default_texts(self.names)
        return self._codec.load(join_members({**defaults, **read.keys}), tkn)

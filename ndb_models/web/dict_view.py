"""`request.session`: a session as a dict, for code that was written for Starlette's `SessionMiddleware`. No I/O.

The view keeps no values of its own. It shows those of the session's model, so changes are seen both ways, nested ones
too. Rules:

- Its keys are the stored fields and, of a class with `extra="allow"`, all extra keys.
- A field at its default counts as absent, as if the program had never set it. `session["cart"]` still returns its
  value, as a `defaultdict` does, and changes inside that value are kept.
- Without a session, values are gathered in a draft. The draft becomes a model, validated, when the answer begins. An
  empty draft becomes no session: reading alone makes none.
- If a required field is removed, the values are a draft too until the answer begins.
- A session from which everything was removed is to be ended.

The view is a real `dict`, since code in C, such as that of `json.dumps`, looks into the dict itself. The visible values
are copied there before they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from ndb_models.schema.model import SessionModel, take_over
from ndb_models.schema.value_kinds import ABSENT
from ndb_models.web.viewed_class import ViewedClass

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

M = TypeVar("M", bound=SessionModel)
M_co = TypeVar("M_co", bound=SessionModel, covariant=True)


class _Values(NamedTuple):
    """The values of a model, or of a draft: of its fields, and of its extra keys. None if it takes no extra keys."""

    fields: dict[Any, Any]
    extras: dict[Any, Any] | None


class Visited(Protocol[M_co]):
    """Knows the session of a request by now, or None."""

    @property
    def session(self) -> M_co | None:
        """The session."""
        ...


class SessionView(dict[str, Any], Generic[M]):
    """A session as a dict. The docstring of the module describes its keys.

    Methods work as those of a dict. A key that the class cannot store raises `InvalidArgumentError`.

    Args:
        viewed: the class of sessions.
        visit: knows the session of the request, which may become another one by a login.

    Attributes:
        accessed: True once it was used. The flag has the name that it has in Starlette.
        modified: True once it was changed by a method of its own, likewise. Nested changes do not set it.
    """

    accessed: bool = False
    modified: bool = False

    def __init__(self, viewed: ViewedClass[M], visit: Visited[M]) -> None:
        super().__init__()
        self._viewed = viewed
        self._visit = visit
        self._seen = visit.session
        self.drop()

    # For the middleware

    def drop(self) -> None:
        """Forget values that were gathered in a draft."""
        self._draft: _Values | None = None
        self._has_removed = False

    @property
    def _session(self) -> M | None:
        """The session of the request by now. Values gathered before a login or a logout are forgotten."""
        session = self._visit.session
        if session is not self._seen:
            self._seen = session
            self.drop()
        return session

    @property
    def pending(self) -> frozenset[str]:
        """The keys of a draft that is not settled."""
        session, draft = self._session, self._draft
        if draft is None:
            return frozenset()
        return frozenset(self._visible()) | frozenset({} if session is None else vars(session))

    @property
    def is_emptied(self) -> bool:
        """True if the session was emptied through this view: it is to be ended."""
        return self._session is not None and self._has_removed and not self._visible()

    def settled(self) -> M | None:
        """Return the model to store: the session's, or a new one made of the draft; None if there is neither.

        Do not store it if `is_emptied`. Values of extra keys take the form that JSON brings back: tuples become lists,
        other keys of dicts strings. After a new model, the view stays at its draft until the visit has a session.

        Raises:
            UnstorableError: the values do not fit the class.
        """
        session, values = self._session, self._values()
        if values.extras:
            self._viewed.turn_into_json(values.extras)
        if self._draft is None or self.is_emptied:
            return session
        visible = self._visible()
        if session is None:
            return self._viewed.made_of(visible) if visible else None
        take_over(session, self._viewed.made_of(visible))
        self.drop()
        return session

    def mark_accessed(self) -> None:
        """Note a use. Starlette calls this for each `request.session`."""
        self._show()

    def mark_modified(self) -> None:
        """Note a change. The call is not needed: changes are found by comparing."""
        self.accessed = self.modified = True

    # Visible values

    def _values(self) -> _Values:
        session = self._session
        if self._draft is not None:
            return self._draft
        return _Values({}, None) if session is None else _Values(vars(session), session.__pydantic_extra__)

    def _drafted(self) -> _Values:
        """Return the draft. A new one begins with the values of the session."""
        values = self._values()
        if self._draft is None:
            extras = {**(values.extras or {})} if self._viewed.is_open else None
            self._draft = _Values(
                {name: values.fields[name] for name in self._viewed.fields if name in values.fields}, extras
            )
        return self._draft

    def _visible(self) -> dict[str, Any]:
        fields, extras = self._values()
        viewed = self._viewed
        shown = {
            name: fields[name]
            for name in viewed.fields
            if name in fields and not viewed.is_at_default(name, fields[name])
        }
        return {**shown, **extras} if extras else shown

    def _show(self) -> None:
        """Make the dict itself hold the visible values. Values that stay are left, for loops over the dict."""
        self.accessed = True
        visible = self._visible()
        for key in super().keys() - visible.keys():
            super().__delitem__(key)
        super().update(visible)

    def _value(self, key: object) -> Any:
        """Return the value of one key that is visible, or `ABSENT`."""
        self.accessed = True
        fields, extras = self._values()
        if key in self._viewed.fields:
            value = fields.get(key, ABSENT)
            return ABSENT if value is ABSENT or self._viewed.is_at_default(key, value) else value
        return ABSENT if extras is None else extras.get(key, ABSENT)

    def _show_one(self, key: str) -> None:
        """Make the dict itself hold one key if it is visible, and only then."""
        value = self._value(key)
        if not super().__len__():
            self._show()
        elif value is ABSENT:
            super().pop(key, None)
        else:
            super().__setitem__(key, value)

    # Changes

    def __setitem__(self, key: str, value: Any) -> None:
        self._viewed.check_key(key)
        self.mark_modified()
        if self._session is None:
            self._drafted()
        values = self._values()
        if key in self._viewed.fields and self._draft is None:
            setattr(self._session, key, value)
        elif key in self._viewed.fields:
            values.fields[key] = value
        elif values.extras is not None:
            values.extras[key] = value
        self._show_one(key)

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.mark_modified()
        self._has_removed = True
        field = self._viewed.fields.get(key)
        if field is not None and field.is_required():
            self._drafted()
        values = self._values()
        if field is None:
            (values.extras or {}).pop(key)
        elif self._draft is not None:
            del values.fields[key]
        else:
            setattr(self._session, key, self._viewed.default(key, values.fields))
        self._show_one(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove a key and return its value. If it is absent, return `default`; raise `KeyError` without one."""
        if key not in self:
            if default:
                return default[0]
            raise KeyError(key)
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the last key, and return it with its value. Raises `KeyError` for an empty session."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the session is empty")

    def clear(self) -> None:
        """Remove everything. If it stays so, the session is ended and its cookie cleared."""
        self.mark_modified()
        self._has_removed = True
        for key in [*self]:
            del self[key]

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        """Return the value of a key. If it is absent, it gets `default` first."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *given: Any, **more: Any) -> None:
        """Set keys, given as to a dict."""
        for key, value in dict[str, Any](*given, **more).items():
            self[key] = value

    # Reads

    def __missing__(self, key: str) -> Any:
        """Return the value of a field at its default. Changes inside it are noticed."""
        field = self._viewed.fields.get(key)
        if field is None or field.is_required():
            raise KeyError(key)
        if self._session is None:
            self._drafted()
        fields = self._values().fields
        if key not in fields:
            fields[key] = self._viewed.default(key, fields)
        return fields[key]

    def __getitem__(self, key: str) -> Any:
        value = self._value(key)
        return self.__missing__(key) if value is ABSENT else value

    def __contains__(self, key: object) -> bool:
        return self._value(key) is not ABSENT

    def __iter__(self) -> Iterator[str]:
        self._show()
        return super().__iter__()

    def __reversed__(self) -> Iterator[str]:
        self._show()
        return super().__reversed__()

    def __len__(self) -> int:
        self._show()
        return super().__len__()

    def __eq__(self, other: object) -> bool:
        self._show()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        self._show()
        return super().__ne__(other)

    def __repr__(self) -> str:
        self._show()
        return super().__repr__()

    if not TYPE_CHECKING:  # the types are those of a dict

        def __or__(self, other):
            self._show()
            return super().__or__(other)

        def __ror__(self, other):
            self._show()
            return super().__ror__(other)

        def __ior__(self, other):
            self.update(other)
            return self

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        """Copy and pickle as a plain dict."""
        return dict, ({**self},)

    def get(self, key: str, default: Any = None, /) -> Any:
        """Return the value of a key, or `default` if it is absent."""
        value = self._value(key)
        return default if value is ABSENT else value

    def keys(self) -> dict_keys[str, Any]:
        """Return the keys."""
        self._show()
        return super().keys()

    def values(self) -> dict_values[str, Any]:
        """Return the values."""
        self._show()
        return super().values()

    def items(self) -> dict_items[str, Any]:
        """Return the keys with their values."""
        self._show()
        return super().items()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict with the same values."""
        return {**self}

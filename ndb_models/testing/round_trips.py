"""Checks that models come back from a store as they were saved."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from ndb_models.errors import InvalidArgumentError, UnstorableError
from ndb_models.schema.changes import value_of
from ndb_models.schema.codec import ModelCodec
from ndb_models.schema.lookup import lookups_of
from ndb_models.schema.model import SessionModel, check_definition
from ndb_models.schema.value_equality import Rules, difference
from ndb_models.schema.value_kinds import UNDECIDED, drops_private

B = TypeVar("B", bound=BaseModel)

_NOT_A_MODEL: Final = "takes classes of models, and instances of them: assert_round_trips(UserSession)"
_LONGEST_VALUE: Final = 200


class Problem(NamedTuple):
    """A field that would be refused or lost, and why."""

    field: str
    reason: str


class RoundTrip(Generic[B]):
    """Stores and reads models of one class, without a store.

    Raises:
        SchemaError: the class cannot be stored as it is declared.
    """

    def __init__(self, model: type[B]) -> None:
        self.model: type[B] = model
        is_session = issubclass(model, SessionModel)
        self._codec: ModelCodec[B] = ModelCodec(model, lookups_of(model) if is_session else ())
        self._rules = Rules(drops_private=drops_private(model))
        if issubclass(model, SessionModel):
            check_definition(model)
            model.session_options.upgrades.check_chain()

    def problems(self, instance: B) -> Sequence[Problem]:
        """Return the fields of an instance that a save would refuse, or that a read would change."""
        try:
            keys = self._codec.dump(instance)
        except UnstorableError as exc:
            return [Problem(*problem) for problem in exc.problems]
        read = self._codec.load(keys.text, 0)
        return [*self._lost(instance, read)]

    def _lost(self, instance: B, read: B) -> Iterator[Problem]:
        for name in (*self.model.__pydantic_fields__, *(instance.__pydantic_extra__ or ())):
            reason = difference(value_of(instance, name), value_of(read, name), self._rules)
            if reason is UNDECIDED:
                written, again = (self._codec.written(each).split().get(name) for each in (instance, read))
                reason = None if written == again else reason
            if reason is not None:
                yield Problem(name, reason)


def assert_round_trips(*models: type[BaseModel] | BaseModel) -> None:
    """Check that models come back from a store as they were saved: equal in value and type at every depth.

        assert_round_trips(UserSession)
        assert_round_trips(UserSession(username="billy", roles={"admin"}))

    It needs no store and no event loop. An instance is checked as it is, and is not changed.

    A class is checked with fifty instances that Hypothesis makes from the types and constraints of its fields. They are
    the same ones each time, and hold no NaN, infinity or `fold`. A field of a type that Hypothesis does not know stays
    at its default. If validators refuse all instances, each field that has a default stays at it. Without Hypothesis,
    the instance with all defaults is checked.

    Args:
        models: classes of session or configuration models, and instances of such classes.

    Raises:
        AssertionError: a model would be refused, or would come back different. It names the fields and the reasons, and
            shows values that Hypothesis has made, never those of an instance that was given.
        SchemaError: a class cannot be stored as it is declared.
        InvalidArgumentError: there are no models, or an argument is something else; or no instance of a class can be
            made, and the message says what to do.
    """
    __tracebackhide__ = True
    if not models:
        raise InvalidArgumentError(f"assert_round_trips {_NOT_A_MODEL}")
    for number, model in enumerate(models, 1):
        if isinstance(model, BaseModel):
            _check_given(model, f", argument {number}" if len(models) > 1 else "")
        else:
            _check_made(RoundTrip(_checked(model)))


def _checked(model: object) -> type[BaseModel]:
    kind: type[Any] = type(model)
    if isinstance(model, type) and issubclass(model, BaseModel):
        return model
    raise InvalidArgumentError(f"assert_round_trips {_NOT_A_MODEL}, not a {kind.__name__}")


def _check_given(instance: BaseModel, which: str) -> None:
    __tracebackhide__ = True
    problems = RoundTrip(type(instance)).problems(instance)
    if problems:
        _fail(f"{type(instance).__name__}{which}", [f"{field}: {reason}" for field, reason in problems])


def _check_made(trip: RoundTrip[Any]) -> None:
    __tracebackhide__ = True
    if importlib.util.find_spec("hypothesis") is None:
        found = [(made := _with_defaults(trip.model), trip.problems(made))]
    else:
        from ndb_models.testing.generating import find_problem

        found = [*find_problem(trip)]
    for made, problems in found:
        shown = (f"{field}: {reason}; such as {_shown(value_of(made, field))}" for field, reason in problems)
        if lines := [*shown]:
            _fail(trip.model.__name__, lines)


def _with_defaults(model: type[B]) -> B:
    try:
        return model()
    except ValidationError:
        raise InvalidArgumentError(
            f"{model.__name__} has fields without a default: give instances, or install Hypothesis, which makes some:"
            " pip install 'ndb_models[testing]'"
        ) from None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _fail(what: str, lines: Sequence[str]) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError("\n  ".join([f"{what} would not come back from a store as it was saved:", *lines]))

"""Checks of arguments, with errors that say what is right."""

from __future__ import annotations

from ndb_models.client import NdbClient
from ndb_models.errors import InvalidArgumentError
from ndb_models.schema.expiry import Expiry
from ndb_models.schema.model import SessionModel


def check_expiry(given: object) -> None:
    """Refuse a value that is not an expiry.

    Raises:
        InvalidArgumentError: it is neither an `Expiry` nor None.
    """
    if not (given is None or isinstance(given, Expiry)):
        raise InvalidArgumentError(f"expiry= is an Expiry, not a {type(given).__name__}")


def described(given: object) -> str:
    """Describe an argument that is not a model, with a hint for a common mistake."""
    if isinstance(given, type):
        return f"the class {given.__name__}; make an instance of it"
    return "a token; get(tkn) reads its session" if type(given) is int else type(given).__name__


def check_arguments(client: object, model: object, on_invalid: object) -> None:
    """Refuse wrong arguments of a repository.

    Raises:
        InvalidArgumentError: one is wrong. The message shows a right one.
    """
    if not isinstance(client, NdbClient):
        raise InvalidArgumentError(
            "a Repository needs an open NdbClient: async with NdbClient.connect(uri) as client:"
            " repo = Repository(client, UserSession)"
        )
    if not (isinstance(model, type) and issubclass(model, SessionModel)):
        raise InvalidArgumentError("a Repository stores a subclass of SessionModel: Repository(client, UserSession)")
    if model is SessionModel:
        raise InvalidArgumentError("SessionModel has no fields: declare a subclass of it")
    if on_invalid not in ("raise", "end"):
        raise InvalidArgumentError("on_invalid is 'raise' or 'end'")


def check_namespace(namespace: object) -> None:
    """Refuse a value that is not a namespace.

    Raises:
        InvalidArgumentError: it is neither None nor a printable string.
    """
    if namespace is not None and not (isinstance(namespace, str) and namespace and namespace.isprintable()):
        raise InvalidArgumentError("namespace= is a printable string and not empty, or None")

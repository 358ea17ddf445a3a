"""Look into answers that may be anything. An answer should be an object with one member: its name, and its body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ndb_models.types import SessionToken


def parts_of(answer: object) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the body of an answer; "" and an empty body for anything else."""
    if isinstance(answer, dict) and len(cast("dict[str, Any]", answer)) == 1:
        ((name, body),) = cast("dict[str, Any]", answer).items()
        if isinstance(body, dict):
            return name, cast("dict[str, Any]", body)
    return "", {}


def body_of(answer: object, name: str) -> Mapping[str, Any]:
    """Return the body of the answer with this name; an empty one for any other."""
    found, body = parts_of(answer)
    return body if found == name else {}


def new_token(answer: object) -> SessionToken | None:
    """Return the token in an answer to `SH_NEW`; None if no session was created."""
    body = body_of(answer, "SH_NEW_RSP")
    tkn = body.get("tkn")
    return tkn if body.get("st") == 1 and type(tkn) is int else None


def close_code(answer: object) -> int | None:
    """Return the close code, if the connection was closed in place of an answer."""
    code = cast("dict[str, Any]", answer).get("closed") if isinstance(answer, dict) else None
    return code if type(code) is int else None


def status_alone(answer: Any) -> Any:
    """Return an answer reduced to its name and its status. Anything else is returned as it is."""
    name, body = parts_of(answer)
    return {name: {"st": body["st"]}} if "st" in body else answer

"""Tokens and values as commands show them: as little as people need, unless they ask for more."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Annotated, Final, TypeAlias

import typer

from ndb_models.secret_names import has_secret_form, is_secret_name, words_of
from ndb_models.types import JsonValue, SessionToken, redact

ShowTokensOption: TypeAlias = Annotated[
    bool, typer.Option("--show-tokens", help="Show tokens in full. Whoever has a token may open its session.")
]
ShowValuesOption: TypeAlias = Annotated[
    bool, typer.Option("--show-values", help="Show secret and personal values, which are masked otherwise.")
]

MASK: Final = "********"

# Beside those of `secret_names`. Commands rather mask too much: their output ends up in tickets and chats.
_SECRETS: Final = frozenset({"auth", "hash", "key"})
_PERSONAL: Final = frozenset(
    {"address", "birth", "birthdate", "birthday", "card", "dob", "email", "firstname", "iban", "ip", "lastname"}
    | {"latitude", "login", "longitude", "mail", "mobile", "name", "passport", "phone", "postcode", "ssn", "street"}
    | {"surname", "username", "zip"}
)


def shown_token(tkn: SessionToken, *, full: bool) -> str:
    """Return a token as text: the number, or its last digits alone, as logs and errors show it."""
    return str(tkn) if full else redact(tkn)


def shown_value(name: str, value: JsonValue, *, full: bool) -> JsonValue:
    """Return a value as a command shows it: masked, at any depth, where its name says that it is secret or personal.

    Args:
        name: the name of its field.
        value: the value.
        full: show everything.
    """
    return value if full else _shown(name, value, _PERSONAL)


def secrets_masked(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return fields with their values. Values with a secret name are masked; personal ones stay."""
    return {name: _shown(name, value, frozenset()) for name, value in fields.items()}


def _shown(name: str, value: JsonValue, words: Set[str]) -> JsonValue:
    """Return a value with secrets masked, and values whose names hold one of the words."""
    if value is None or isinstance(value, bool):
        return value
    if is_secret_name(name) or not (_SECRETS | words).isdisjoint(words_of(name)):
        return MASK
    return _shown_inside(value, words)


def _shown_inside(value: JsonValue, words: Set[str]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _shown(name, each, words) for name, each in value.items()}
    if isinstance(value, list):
        return [_shown_inside(each, words) for each in value]
    return MASK if has_secret_form(value) else value

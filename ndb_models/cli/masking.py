"""Tokens and values as commands show them: as little as people need, unless they ask for more."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Annotated, Final, TypeAlias

import typer

from ndb_models.types import JsonValue, SessionToken, redact

ShowTokensOption: TypeAlias = Annotated[
    bool, typer.Option("--show-tokens", help="Show tokens in full. Whoever has a token may open its session.")
]
ShowValuesOption: TypeAlias = Annotated[
    bool, typer.Option("--show-values", help="Show secret and personal values, which are masked otherwise.")
]

MASK: Final = "********"

_SECRET_WORDS: Final = """
    apikey auth authorization bearer cookie credential credentials csrf cvv hash jwt key nonce otp passphrase passwd
    password pin pwd salt secret secrets signature token tokens
"""
_PERSONAL_WORDS: Final = """
    address birth birthdate birthday card dob email firstname iban ip lastname latitude login longitude mail mobile name
    passport phone postcode ssn street surname username zip
"""
_SECRET: Final = frozenset(_SECRET_WORDS.split())
_MASKED: Final = _SECRET | frozenset(_PERSONAL_WORDS.split())
_PARTS_OF_NAME: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


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
    return value if full else _shown(name, value, _MASKED)


def secrets_masked(fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return fields with their values. Values with a secret name are masked; personal ones stay."""
    return {name: _shown(name, value, _SECRET) for name, value in fields.items()}


def _shown(name: str, value: JsonValue, words: Set[str]) -> JsonValue:
    if value is None or isinstance(value, bool):
        return value
    if not words.isdisjoint(part.lower() for part in _PARTS_OF_NAME.findall(name)):
        return MASK
    return _shown_inside(value, words)


def _shown_inside(value: JsonValue, words: Set[str]) -> JsonValue:
    if isinstance(value, dict):
        return {name: _shown(name, each, words) for name, each in value.items()}
    return [_shown_inside(each, words) for each in value] if isinstance(value, list) else value

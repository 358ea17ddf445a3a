"""What a command shows of tokens and values: as little as people need, unless they ask for more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

import typer

from ndb_models.tokens import format_token
from ndb_models.types import JsonValue, SessionToken

ShowTokensOption: TypeAlias = Annotated[
    bool, typer.Option("--show-tokens", help="Show tokens in full. Whoever has a token may open its session.")
]
ShowValuesOption: TypeAlias = Annotated[
    bool, typer.Option("--show-values", help="Show secret and personal values, which are masked otherwise.")
]

MASK: Final = "********"

_SHOWN_OF_TOKEN: Final = 4
_SECRET_WORDS: Final = """
    apikey auth authorization bearer cookie credential credentials csrf cvv hash jwt key nonce otp passphrase passwd
    password pin pwd salt secret secrets signature token tokens
"""
_PERSONAL_WORDS: Final = """
    address birth birthdate birthday card dob email firstname iban ip lastname latitude login longitude mail mobile name
    passport phone postcode ssn street surname username zip
"""
_MASKED_WORDS: Final = frozenset((_SECRET_WORDS + _PERSONAL_WORDS).split())
_PARTS_OF_NAME: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def shown_token(tkn: SessionToken, *, full: bool) -> str:
    """Return a token as text, as `format_token` writes it; only its beginning, unless in full."""
    text = format_token(tkn)
    return text if full else f"{text[:_SHOWN_OF_TOKEN]}…"


def is_masked_name(name: str) -> bool:
    """Return True if the name of a field says that its value is a secret or personal: `api_key`, `homeAddress`."""
    return not _MASKED_WORDS.isdisjoint(part.lower() for part in _PARTS_OF_NAME.findall(name))


def shown_value(name: str, value: JsonValue, *, full: bool, masked: Iterable[str] = ()) -> JsonValue:
    """Return a value as a command shows it: masked, at any depth, where its name says that it is to be.

    Args:
        name: the name of its field.
        value: the value.
        full: show everything.
        masked: further names whose values are masked.
    """
    if full:
        return value
    if value is not None and not isinstance(value, bool) and (is_masked_name(name) or name in masked):
        return MASK
    return _shown_inside(value)


def _shown_inside(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {name: shown_value(name, each, full=False) for name, each in value.items()}
    return [_shown_inside(each) for each in value] if isinstance(value, list) else value

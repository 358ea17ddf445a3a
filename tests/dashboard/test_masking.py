"""Which values are secrets, and how the others are shown."""

from __future__ import annotations

import json

import pytest

from ndb_models.dashboard.masking import HIDDEN, MOST_CHARACTERS, is_secret, shown
from ndb_models.schema.secret_fields import secret_fields_of
from ndb_models.secret_names import is_secret_name
from tests.dashboard.models import Ticket, Visitor

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name",
    [
        *("password", "passwordHash", "oldPasswords", "api_key", "apiKey", "APIKey", "privateKey", "X-CSRF-Token"),
        *("accessTokens", "client_secret", "recovery_codes", "Authorization", "seedPhrase", "otp"),
    ],
)
def test_a_name_of_a_secret_is_one_however_it_is_written(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["user_id", "email", "cart", "monkey", "key", "code", "authors", "pinned", "passage"])
def test_other_names_are_none(name: str) -> None:
    assert not is_secret_name(name)


def test_a_secret_is_one_by_its_form_whatever_its_name() -> None:
    assert is_secret("note", JWT)
    assert is_secret("note", "-----BEGIN RSA PRIVATE KEY-----\nabc")
    assert not is_secret("note", "eyJ is how it begins")


def test_a_secret_is_one_by_its_type_where_the_model_is_known() -> None:
    assert secret_fields_of(Visitor) == {"riddle"}
    assert secret_fields_of(Ticket) == frozenset()
    assert is_secret("riddle", "x", secret_fields_of(Visitor))


def test_secrets_inside_of_a_value_are_hidden_at_every_depth() -> None:
    value = shown({"a": [{"password": "canary", "b": [JWT, 1]}], "c": None})
    assert json.loads(value.text) == {"a": [{"password": HIDDEN, "b": [HIDDEN, 1]}], "c": None}
    assert (value.kind, value.is_cut) == ("object of 2", False)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "null", "null"),
        (True, "true or false", "true"),
        (12345678901234567890, "number", "12345678901234567890"),
        (1.5, "number", "1.5"),
        ("é\ud800", "text", "é\ud800"),
        ([], "list of 0", "[]"),
    ],
)
def test_a_value_is_shown_as_people_read_it(value: object, kind: str, text: str) -> None:
    assert shown(value) == (kind, text, False)  # type: ignore[arg-type]  # they are JSON values


def test_a_long_value_is_cut() -> None:
    value = shown("x" * (MOST_CHARACTERS + 1))
    assert (len(value.text), value.is_cut) == (MOST_CHARACTERS, True)

"""Hypothesis strategies for the example models, any instance that a class can have; and how instances are compared.

Most strategies follow from the types of the fields. The table is for fields that are given in another form than they
are held in, or whose type says less than their validators ask for.
"""

from __future__ import annotations

import base64
import re
from datetime import date, datetime
from functools import cache
from ipaddress import IPv4Interface, IPv6Network
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, get_args
from uuid import UUID

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import AnyUrl, HttpUrl, NameEmail, RootModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import to_json

from ndb_models import SessionModel
from tests.zoo_containers import Journey, Leg
from tests.zoo_models import Card, Cash, Circle, Comment, Line, Matrix, Roles, Square
from tests.zoo_pydantic import Pin

TEXTS = st.text(max_size=8)
INTEGERS = st.integers() | st.integers(-(2**80), 2**80)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
PATHS = st.sampled_from(["", "/", ".", "a/../b c", "/\u00e9/\u2603", "a//b"])
WEB = st.sampled_from(
    ["https://example.org", "http://u:p@h:81/a%20b?c=d&e#f", "https://\u00e9.example.org/", "http://[::1]/"]
)
_ENCODED = st.binary(max_size=9).map(lambda blob: base64.b64encode(blob).decode())
_ENCODED_TEXT = TEXTS.map(lambda text: base64.b64encode(text.encode()).decode())
_URL_ENCODED = st.binary(max_size=9).map(lambda blob: base64.urlsafe_b64encode(blob).decode())
_COMMENTS = st.recursive(
    st.builds(Comment, text=TEXTS),
    lambda inner: st.builds(Comment, text=TEXTS, replies=st.lists(inner, max_size=3), answers=st.none() | inner),
    max_leaves=4,
)
_CARDS = st.builds(Card, number=TEXTS)
_CASH = st.builds(
    lambda given: Cash.model_validate({"given": given}), st.decimals(allow_nan=False, allow_infinity=False)
)
_ROLES = st.builds(Roles, st.sets(TEXTS, max_size=3))
_SIDES = st.floats(allow_nan=False, allow_infinity=False)


def _json_text(value: object) -> str:
    return to_json(value).decode()


def _uuids(version: int) -> st.SearchStrategy[UUID]:
    return st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number, version=version))


def _register() -> None:
    """Tell Hypothesis of the types that it does not know."""
    st.register_type_strategy(SecretStr, TEXTS.map(SecretStr))
    st.register_type_strategy(SecretBytes, TEXTS.map(str.encode).map(SecretBytes))
    st.register_type_strategy(Secret, lambda secret: st.builds(Secret, st.from_type(get_args(secret)[0])))
    st.register_type_strategy(HttpUrl, WEB.map(HttpUrl))
    st.register_type_strategy(AnyUrl, (WEB | st.sampled_from(["mailto:a@b", "foo://a", "data:,x"])).map(AnyUrl))
    st.register_type_strategy(NameEmail, TEXTS.map(lambda name: NameEmail(name, "b@example.org")))
    st.register_type_strategy(Comment, _COMMENTS)  # by its fields alone most examples grow too large
    for path in (Path, PurePath, PurePosixPath):
        st.register_type_strategy(path, PATHS.map(path))


_register()

# By the class, without `Strict`, and the field.
_GIVEN: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("Collections", "anything"): JSON,
    ("Bare", "items"): st.lists(JSON, max_size=3),
    ("Bare", "table"): st.dictionaries(TEXTS, JSON, max_size=3),
    ("Thread", "data"): JSON,
    ("Kinds", "parsed"): st.lists(INTEGERS).map(_json_text),
    ("Parsed", "numbers"): st.lists(INTEGERS).map(_json_text),
    ("Parsed", "table"): st.dictionaries(TEXTS, st.dates()).map(_json_text),
    ("Parsed", "anything"): JSON.map(_json_text),
    ("Encoded", "blob"): _ENCODED.map(str.encode),
    ("Encoded", "text"): _ENCODED_TEXT,
    ("Encoded", "url_blob"): _URL_ENCODED.map(str.encode),
    ("Encoded", "url_text"): _ENCODED_TEXT,
    ("Secretive", "short"): st.text(min_size=2).map(SecretStr),
    ("Contacts", "address"): st.none() | st.ip_addresses(),
    ("Contacts", "interface"): st.none() | st.builds(IPv4Interface, st.ip_addresses(v=4)),
    ("Contacts", "network"): st.none() | st.builds(IPv6Network, st.ip_addresses(v=6)),
    ("Rooted", "roles"): _ROLES,
    ("Rooted", "matrix"): st.builds(Matrix, st.lists(st.lists(INTEGERS, max_size=3), max_size=3)),
    ("Rooted", "by_name"): st.dictionaries(TEXTS, _ROLES, max_size=3).map(RootModel[dict[str, Roles]]),
    ("Discriminated", "payment"): _CARDS | _CASH,
    ("Discriminated", "shapes"): st.lists(
        st.builds(Circle, radius=_SIDES) | st.builds(Square, side=_SIDES), max_size=3
    ),
    ("Unions", "payment"): st.none() | _CARDS | _CASH,
    ("Renaming", "home"): TEXTS.map(lambda name: Line(street_name=name)),
    ("Imported", "function"): st.sampled_from(["math.cos", "os.path", "textwrap.dedent"]),
    ("KindsOfTimes", "before"): st.datetimes(max_value=datetime(2020, 1, 1)),
    ("KindsOfTimes", "after"): st.datetimes(min_value=datetime(3000, 1, 1)),
    ("KindsOfTimes", "past"): st.dates(max_value=date(2020, 1, 1)),
    ("KindsOfTimes", "future"): st.dates(min_value=date(3000, 1, 1)),
    ("KindsOfTimes", "aware"): st.datetimes(timezones=st.timezones()),
    ("KindsOfTimes", "naive"): st.datetimes(),
    ("KindsOfIds", "one"): _uuids(1),
    ("KindsOfIds", "three"): _uuids(3),
    ("KindsOfIds", "four"): _uuids(4),
    ("KindsOfIds", "five"): _uuids(5),
    ("Contacts", "email"): st.sampled_from(["b@example.org", "a.b+c@example.org"]),
    ("Secrets", "pin"): TEXTS.map(Pin),
    ("Sizes", "size"): st.integers(0, 2**70),
    ("Patterns", "pattern"): st.sampled_from(["", "a+", r"^\d$", '\u00e9|["]']).map(re.compile),
    ("Classes", "journeys"): st.lists(st.builds(Journey, st.builds(Leg, TEXTS), st.integers(1)), max_size=3),
    ("Constrained", "amount"): st.decimals(-9999, 9999, places=2),
    ("Constrained", "code"): st.from_regex(r"\A[A-Z]{2}[0-9]\Z"),
    ("Constrained", "even"): st.integers(0, 49).map(lambda half: 2 * half),
    ("Constrained", "slug"): TEXTS,
    ("Named", "strict_int"): INTEGERS,
    ("Named", "strict_text"): TEXTS,
    ("Named", "strict_flag"): st.booleans(),
    ("Unions", "left_to_right"): INTEGERS | TEXTS,
    ("Custom", "share"): st.fractions(),
}


@cache
def instances_of(model: type[SessionModel]) -> st.SearchStrategy[SessionModel]:
    """Return a strategy for instances of a class, by its validation."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in model.model_fields.items():
        if field.exclude is True:
            continue
        given = _GIVEN.get((model.__name__.removeprefix("Strict"), name))
        if given is None and not field.is_required() and _has_no_strategy(field.annotation):
            continue
        strategy = given if given is not None else st.from_type(field.rebuild_annotation())
        (required if field.is_required() else optional)[name] = strategy
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: _validated(model, values))


def _has_no_strategy(annotation: object) -> bool:
    return (
        isinstance(annotation, type)
        and annotation not in (AnyUrl, HttpUrl)
        and any(base.__name__ in ("_BaseUrl", "_BaseMultiHostUrl") for base in annotation.__mro__)
    )


def _validated(model: type[SessionModel], values: dict[str, Any]) -> SessionModel:
    try:
        return model.model_validate(values, by_alias=False, by_name=True)
    except ValidationError:
        assume(False)
        raise

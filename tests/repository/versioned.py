"""One schema in four versions, as the code of four deployments has it."""

from __future__ import annotations

from ndb_models import Expiry, JsonValue, SessionModel


class UserV1(SessionModel, schema="user", expiry=Expiry(idle=60, absolute=600)):
    name: str
    role: str = "guest"
    visits: int = 0


class UserV2(SessionModel, schema="user", version=2, expiry=Expiry(idle=60, absolute=600)):
    """`name` is called `username`."""

    username: str
    role: str = "guest"
    visits: int = 0


class UserV3(SessionModel, schema="user", version=3, expiry=Expiry(idle=60, absolute=600)):
    """Has a list of roles, which are written in capitals under the name of the single one."""

    username: str
    role: list[str]
    visits: int = 0


class UserV4(SessionModel, schema="user", version=4, oldest=3, expiry=Expiry(idle=60, absolute=600)):
    """Counts from a million, and takes sessions of version 3 only."""

    username: str
    role: list[str]
    visits: int = 0


class Open1(SessionModel, schema="open", extra="allow"):
    name: str


class Open2(SessionModel, schema="open", version=2, extra="allow"):
    username: str


RUNS: list[int] = []
"""Which steps have run, by the version that they upgrade from."""


def renamed(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    RUNS.append(1)
    assert "username" not in keys
    keys["username"] = keys.pop("name")
    return keys


def listed(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    RUNS.append(2)
    role = keys.get("role", "guest")
    assert isinstance(role, str)
    return {**keys, "role": [role.upper()]}


def counted(keys: dict[str, JsonValue]) -> dict[str, JsonValue]:
    RUNS.append(3)
    visits = keys.get("visits", 0)
    assert isinstance(visits, int)
    return {**keys, "visits": visits + 1_000_000}


UserV2.upgrade(1)(renamed)
UserV3.upgrade(1)(renamed)
UserV3.upgrade(2)(listed)
UserV4.upgrade(3)(counted)
Open2.upgrade(1)(renamed)

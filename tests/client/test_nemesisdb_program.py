"""A program as it is written for NemesisDB's own Python API runs with its import changed."""

from __future__ import annotations

from typing import Any

import pytest

from ndb_models.client import NdbClient, ResponseError
from ndb_models.server import NdbServer


async def remember_a_login(uri: str) -> dict[str, Any]:
    """The program: a line here is a line there."""
    client = NdbClient()
    if not await client.open(uri):
        return {}

    set_success = await client.kv_set({"username": "billy", "password": "billy_passy"})
    values = await client.kv_get(("username",))

    await client.kv_set(
        {"server_ip": "123.456.7.8", "server_port": 1987, "server_users": {"admins": ["user1", "user2"]}}
    )
    users = await client.kv_get(("server_users",))

    session = await client.sh_create_session(durationSeconds=60, deleteSessionOnExpire=True)
    if session.isValid:
        await client.sh_set({"fname": "James", "lname": "Smith"}, session.tkn)
        await client.sh_add({"fname": "Jim", "city": "Paris"}, session.tkn)
    names = await client.sh_get(("fname", "city"), session.tkn)
    info = await client.sh_info(session.tkn)
    info_all = await client.sh_info_all()
    exist = await client.sh_session_exists([session.tkn, 1])
    await client.sh_end(session.tkn)

    refused = None
    try:
        await client.sh_get(("fname",), session.tkn)
    except ResponseError as r:
        refused = r.rsp["st"]
    await client.close()
    return {
        "set": set_success,
        "values": values,
        "users": users,
        "names": names,
        "info": info,
        "info_all": info_all,
        "exist": exist == [session.tkn],
        "refused": refused,
    }


@pytest.mark.parametrize("way", ["memory", "server"])
async def test_a_program_for_nemesisdb_runs(way: str, server: NdbServer) -> None:
    result = await remember_a_login("memory://" if way == "memory" else server.uri)
    assert result["set"] is True
    assert result["values"] == {"username": "billy"}
    assert result["users"] == {"server_users": {"admins": ["user1", "user2"]}}
    assert result["names"] == {"fname": "James", "city": "Paris"}
    assert result["info"]["keyCnt"] == 3
    assert result["info"]["expires"] is True
    assert result["info"]["expiry"]["deleteSession"] is True
    assert result["info"]["expiry"]["duration"] == 60
    assert result["info_all"] == {"totalSessions": 1, "totalKeys": 3}
    assert result["exist"]
    assert result["refused"] == 100

"""The raw client: NemesisDB's commands as coroutines, with the names of NemesisDB's own Python API.

python examples/raw_client.py
python examples/raw_client.py ws://127.0.0.1:1987/
"""

import asyncio
import sys

from ndb_models.client import NdbClient, ResponseError


async def main(uri: str = "memory://") -> None:
    client = NdbClient()
    if not await client.open(uri):
        print(f"nothing answers on {uri}")
        return

    # Keys that all clients share. A value is any JSON value.
    server_users = {"admins": ["user1", "user2"], "banned": ["user3"]}
    await client.kv_set({"server_ip": "127.0.0.1", "server_port": 1987, "server_users": server_users})
    print(await client.kv_get(("server_port", "server_users", "no_such_key")))

    # Adding leaves alone what is there.
    await client.kv_add({"server_port": 1, "server_name": "example"})
    print(await client.kv_get(("server_port", "server_name")))

    # Looking inside values, and changing parts of them, by JSONPath.
    print(await client.kv_find("$.banned", rsp="paths", keys=("server_users",)))
    await client.kv_update("server_users", "$.admins[0]", "root")
    await client.kv_arr_append("server_users", ["user4"], name="banned")
    print(await client.kv_get(("server_users",)))

    # A session: a map of keys of its own, under a token, that ends when it is not used for a minute.
    session = await client.sh_create_session(
        durationSeconds=60, deleteSessionOnExpire=True, extendOnSetAdd=True, extendOnGet=True
    )
    if session.isValid:
        await client.sh_set({"fname": "James", "sname": "Smith"}, session.tkn)
        print(await client.sh_get(("fname",), session.tkn))
        print(sorted(await client.sh_keys(session.tkn)))
        await client.sh_end(session.tkn)

    # What the server refuses is raised, with its status and its whole answer.
    try:
        await client.sh_get(("fname",), session.tkn)
    except ResponseError as exc:
        print(f"status {exc.status}: {exc}")

    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""What must hold of the index, seen from outside: in the store itself, and by a client that was not there."""

from __future__ import annotations

import json
from typing import Any

from ndb_models import NdbClient, Repository
from ndb_models.engine import Engine
from ndb_models.stores.memory import MemoryStore
from tests.conftest import VirtualClock
from tests.lookup.models import Login, Visit
from tests.repository.session_world import EngineClient


class Scene:
    """An engine on a clock of its own, with repositories of a client that nothing happens to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(clock=self.clock)
        self.engine = Engine(self.store)
        self.client = EngineClient(self.engine)
        self.logins = self.repository(self.client)
        self.visits = Repository(self.client, Visit, clock=self.clock)

    def repository(self, client: NdbClient) -> Repository[Login]:
        return Repository(client, Login, clock=self.clock)

    async def living(self, schema: str = "Login") -> dict[int, dict[str, Any]]:
        """Return the sessions that can be read, by their tokens, from the store itself."""
        found: dict[int, dict[str, Any]] = {}
        for record in await self.store.export():
            reserved = json.loads(record.keys.get("__ndb__", b"{}"))
            if (reserved.get("schema"), reserved.get("tkn")) == (schema, record.token):
                found[record.token] = {name: json.loads(text) for name, text in record.keys.items()}
        return found

    async def listed(self) -> dict[int, dict[str, Any]]:
        """Return the sets of the index, by their tokens, with their members."""
        tokens = [json.loads(text) for text in (await self.store.get_all(None)).values()]
        return {
            record.token: {name: json.loads(text) for name, text in record.keys.items()}
            for record in await self.store.export(tokens)
        }

    async def check(self, *, twins: bool = False) -> None:
        """No session is lost, none is found that should not be, and no two have a unique value but for `twins`."""
        living = await self.living()
        for user_id in {keys["user_id"] for keys in living.values()} | {7, 8}:
            if user_id is not None:
                found = {session.tkn for session in await self.logins.find(user_id=user_id)}
                assert found == {tkn for tkn, keys in living.items() if keys["user_id"] == user_id}
        for email in {keys["email"] for keys in living.values()} | {"a", "b"}:
            if email is not None:
                having = {tkn for tkn, keys in living.items() if keys["email"] == email}
                assert len(having) <= 1 + twins
                one = await self.logins.find_one(email=email)
                assert one is None if not having else one is not None and one.tkn in having

    async def check_free(self) -> None:
        """What no living session has can be taken."""
        having = {keys["email"] for keys in (await self.living()).values()}
        for email in {"a", "b", "c"} - having:
            await self.logins.save(Login(email=email, note="the next one"))
        await self.check(twins=True)

"""A service whose feature flags change while it runs. Runs on the engine in this process; give a URI to use a server.

python examples/feature_flags.py
python examples/feature_flags.py ws://127.0.0.1:1987/
"""

import asyncio
import sys

from pydantic import BaseModel, Field

from ndb_models import ConfigRepository, NdbClient, StoredConfigError


class Flags(BaseModel):
    """What can be switched without a deployment. The defaults are what runs where nobody has switched anything."""

    banner: str = ""
    maintenance: bool = False
    new_checkout_percent: int = Field(default=0, ge=0, le=100)


class Shop:
    """A service. Its requests read `flags`, which are always valid, and cost nothing to read."""

    def __init__(self, flags: Flags) -> None:
        self.flags = flags
        # What it would write to its log.
        self.log: asyncio.Queue[str] = asyncio.Queue()

    def handle(self, customer: int) -> str:
        """Answer a request."""
        if self.flags.maintenance:
            return "503, back in a minute"
        checkout = "new" if customer % 100 < self.flags.new_checkout_percent else "old"
        return f"{self.flags.banner or 'welcome'}, here is the {checkout} checkout"

    async def follow(self, config: ConfigRepository[Flags]) -> None:
        """Take over what others change, for as long as the service runs."""
        async for change in config.watch(self.flags, interval=0.05, on_invalid=self.complain):
            self.flags = change.new
            self.log.put_nowait(f"changed: {', '.join(change.fields)}")

    def complain(self, error: StoredConfigError) -> None:
        """Say what does not fit. The flags stay what they are until it does."""
        for key, _, reason in error.problems:
            self.log.put_nowait(f"ignored: {key}: {reason}")


async def main(uri: str = "memory://") -> None:
    async with NdbClient.connect(uri) as client:
        config = ConfigRepository(client, Flags, namespace="shop")
        shop = Shop(await config.load())
        following = asyncio.create_task(shop.follow(config))

        async def show(what: str) -> None:
            print(f"{what}\n   {await shop.log.get()}\n   customer 7 gets: {shop.handle(7)}")

        print(f"0. Nobody has switched anything.\n   customer 7 gets: {shop.handle(7)}")

        await config.update(new_checkout_percent=10)
        await show("1. An operator lets one in ten customers have the new checkout.")

        await client.kv_set({"shop:banner": "happy new year"})
        await show("2. Another program, which knows nothing of models, sets the banner.")

        await client.kv_set({"shop:new_checkout_percent": 500})
        await show("3. It makes a mistake. The service is told, and keeps the last good flags.")
        print(f"   check() says: {[problem.key for problem in await config.check()]}")

        await client.kv_set({"shop:new_checkout_percent": 5})
        await show("4. The mistake is repaired.")

        async with config.edit() as flags:
            flags.maintenance = True
            flags.banner = ""
        await show("5. Two flags are switched at once.")

        print("6. What is not as it is by default:")
        for difference in await config.diff():
            print(f"   {difference.field}: {difference.stored!r}, by default {difference.given!r}")

        following.cancel()
        await asyncio.wait([following])
        # So that a server that stays finds it as it was.
        await client.kv_rmv([f"shop:{name}" for name in Flags.model_fields])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

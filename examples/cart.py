"""Ten tabs of a browser put items into one cart at the same time. None is lost, and the visits are counted."""

import asyncio
from typing import Annotated

from ndb_models import Merge, NdbClient, Repository, SessionModel


class Cart(SessionModel):
    """A visitor's cart."""

    items: dict[str, int] = {}
    visits: Annotated[int, Merge.add] = 0


async def open_tab(carts: Repository[Cart], tkn: int, number: int) -> None:
    """Read the cart, think, add an item, and save."""
    cart = await carts.get(tkn)
    await asyncio.sleep(0.01)  # by now all the other tabs have read it too
    cart.items[f"item {number}"] = 1
    cart.visits += 1
    await carts.save(cart)


async def main() -> None:
    """Open ten tabs at once."""
    async with NdbClient.connect("memory://") as client:
        carts = Repository(client, Cart)
        cart = await carts.save(Cart())
        await asyncio.gather(*(open_tab(carts, cart.tkn, number) for number in range(10)))
        cart = await carts.get(cart.tkn)
        print(f"{len(cart.items)} items after {cart.visits} visits")


if __name__ == "__main__":
    asyncio.run(main())

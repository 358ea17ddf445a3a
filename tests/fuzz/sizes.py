"""How much is tried, and from which seed: a slice in every run of the tests, all of it by `make fuzz`."""

from __future__ import annotations

import os
import random
import secrets
from typing import Final

_SEED: Final = 20_260_101

REQUESTS: Final = int(os.environ.get("NDB_FUZZ_REQUESTS", "4000"))
CONNECTIONS: Final = int(os.environ.get("NDB_FUZZ_CONNECTIONS", "200"))


def _seed() -> int:
    given = os.environ.get("NDB_FUZZ_SEED", str(_SEED))
    return secrets.randbits(32) if given == "random" else int(given)


SEED: Final = _seed()
"""`NDB_FUZZ_SEED`; "random" draws one, which the tests print."""


def seeded(what: str, number: int = 0) -> random.Random:
    """Return a source of random numbers of its own: what one task draws changes nothing of what others do."""
    return random.Random(f"{SEED}/{what}/{number}")

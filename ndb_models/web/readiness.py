"""Whether the store of the sessions answers, and why not."""

from __future__ import annotations

import asyncio
from typing import Final

from ndb_models.client import NdbClient
from ndb_models.errors import NdbError

# Seconds in which a store that is ready answers a probe.
_TIMEOUT: Final = 2.0


async def why_not_ready(client: NdbClient) -> str | None:
    """Return why the store of a client gives no answer within two seconds; None if it gives one."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            await client.sh_session_exists([0])
    except NdbError as exc:
        return str(exc)
    except TimeoutError:
        return f"it was waited for {_TIMEOUT:g} s"
    return None

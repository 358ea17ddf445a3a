"""How long it takes to refuse a credential, by how much of its secret is right; and to read a session that has one.

Everything runs in turn in one process, on a store in memory. Run `python -m benchmarks.credentials`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.harness import table
from benchmarks.repository import Measured, measured
from ndb_models import Credential, NdbClient, Repository

BATCH = 100
SECRET = bytes(range(32))


def wrong_texts(credential: Credential) -> dict[str, str]:
    """Return wrong credentials of a session, by what is right about them."""
    text = str(credential)
    texts = {"no character of the secret": str(Credential(credential.tkn, SECRET))}
    for right in (11, 22, 33, 42):
        rest = texts["no character of the secret"][11 + right :]
        texts[f"{right} characters of the secret"] = text[: 11 + right] + rest
    texts["no such session"] = str(Credential(7, SECRET))
    return texts


async def main(rounds: int = 200) -> None:
    """Measure, and print two tables."""
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, Measured)
        plain, session = await repo.save(measured(0)), await repo.save(measured(1))
        credential = await repo.issue(session)
        await client.sh_set(await client.sh_get(["__ndb__"], plain.tkn), plain.tkn)  # written in parts, as the other
        texts = wrong_texts(credential)
        for text in texts.values():
            assert await repo.authenticate(text) is None
        refusals = {name: _authenticating(repo, text) for name, text in texts.items()}
        await _compare("Refusing a wrong credential", "right", refusals, rounds)
        reads = {
            "get, without a credential": lambda: repo.get(plain.tkn),
            "get, with a credential": lambda: repo.get(session.tkn),
            "authenticate": _authenticating(repo, str(credential)),
        }
        await _compare("Reading a session", "verb", reads, rounds)


def _authenticating(repo: Repository[Measured], text: str) -> Callable[[], Awaitable[object]]:
    return lambda: repo.authenticate(text)


async def _compare(title: str, head: str, calls: dict[str, Callable[[], Awaitable[object]]], rounds: int) -> None:
    """Print the median processor time of each call, and its ratio to the first one."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.process_time()
            for _ in range(BATCH):
                await call()
            times[name].append((time.process_time() - started) / BATCH)
    (first, *_) = times.values()
    rows: list[tuple[str, str, str]] = []
    for name, taken in times.items():
        ratio = statistics.median(mine / base for mine, base in zip(taken, first, strict=True))
        rows.append((name, f"{1e6 * statistics.median(taken):.2f}", f"{ratio:.3f}"))
    table(title, (head, "microseconds", "times the first"), rows)


if __name__ == "__main__":
    asyncio.run(main())

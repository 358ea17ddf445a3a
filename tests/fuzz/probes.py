"""Requests whose answers are known to the byte, to be mixed among others: they show an answer too few or too many."""

from __future__ import annotations

import json
import random


class Probes:
    """Asks about a session of its own, which nobody else knows."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tkn = rng.getrandbits(64)
        self._stored: dict[str, object] = {}

    def next(self) -> tuple[bytes, bytes]:
        """Return a request, and its only right answer."""
        if not self._stored:
            return self._write("SH_NEW_SET")
        way = self._rng.randrange(3)
        if way == 0:
            return self._write("SH_SET")
        return self._read() if way == 1 else self.fence()

    def fence(self) -> tuple[bytes, bytes]:
        """Return a request that no other can be mistaken for."""
        name = f"SH_{self._rng.getrandbits(64):016x}"
        return _text({name: {}}), _text({f"{name}_RSP": {"m": "", "st": 10, "tkn": None}})

    def _write(self, command: str) -> tuple[bytes, bytes]:
        self._stored = {"mine": self._rng.getrandbits(60), "text": "é" * self._rng.randrange(20)}
        return _text({command: {"tkn": self._tkn, "keys": self._stored}}), _text({f"{command}_RSP": {"st": 1}})

    def _read(self) -> tuple[bytes, bytes]:
        request = {"SH_GET": {"tkn": self._tkn, "keys": ["mine", "gone", "text"]}}
        return _text(request), _text({"SH_GET_RSP": {"keys": self._stored, "st": 1}})


def _text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

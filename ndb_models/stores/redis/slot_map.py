"""Which server of a cluster has which keys. No I/O."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

SLOTS: Final = 16384


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def shown(self) -> str:
        """The address as a URI has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def slot_of(key: bytes) -> int:
    """Return the slot of a key. If it has a tag in braces, only the tag counts."""
    opening = key.find(b"{")
    if opening >= 0:
        closing = key.find(b"}", opening + 1)
        if closing > opening + 1:
            key = key[opening + 1 : closing]
    return crc_hqx(key, 0) % SLOTS


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Which master has which slot, as one server of the cluster sees it.

    Attributes:
        masters: by slot; a slot that no master has is missing.
        others: the replicas.
        epoch: the cluster's count of changes, as that server knows it.
    """

    masters: Mapping[int, Address]
    others: frozenset[Address] = frozenset()
    epoch: int = 0


def parse_slot_map(slots: Sequence[Any], info: bytes, asked: Address) -> SlotMap:
    """Return the map in the replies to CLUSTER SLOTS and CLUSTER INFO of the server at `asked`.

    Raises:
        ValueError, TypeError, IndexError: they are no such replies.
    """
    masters: dict[int, Address] = {}
    others: set[Address] = set()
    for first, last, master, *replicas in slots:
        masters |= dict.fromkeys(range(int(first), int(last) + 1), _address(master, asked))
        others.update(_address(replica, asked) for replica in replicas)
    return SlotMap(masters, frozenset(others), int(info_fields(info).get("cluster_current_epoch", 0)))


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = node[0].decode() if node[0] else ""
    # A server that does not know its own name sends none. It is then reached where it was asked.
    return Address(asked.host if host in ("", "?") else host, int(node[1]))


def moved_to(target: str, asked: Address) -> Address | None:
    """Return the address in the text of a redirection, as `host:port`; None if there is none."""
    host, _, port = target.rpartition(":")
    if not port.isdigit():
        return None
    return Address(asked.host if host in ("", "?") else host.strip("[]"), int(port))


def info_fields(text: bytes) -> dict[str, str]:
    """Return the fields of a reply to INFO or CLUSTER INFO."""
    lines = text.decode("utf-8", "replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}

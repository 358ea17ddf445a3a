"""Plans the writes of an upgrade, without I/O. No write leaves a session that any version misreads.

An upgrade that fits into one frame is one `SH_SET`. It writes every key that changed, the reserved key with the new
version, and a mark over each key that is dropped. The marked keys are removed afterwards. The write is atomic: before
it the session is of the old version, and after it of the new one.

A larger upgrade is first staged: written beside the stored keys, under names that no version reads. One write of the
reserved key then commits the version and points to the staged keys. From there on, readers take these in place of the
keys with the same names. The staged keys are then moved to their places, the reserved key is written without them, and
they are removed. After each of the writes the session reads as before the upgrade, or as after it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ndb_models.json_text import join_members
from ndb_models.protocol.commands import COMMANDS
from ndb_models.schema.envelope import REMOVED, RESERVED_KEY, is_reserved, read_envelope, restamped
from ndb_models.sessions.reading import Read
from ndb_models.sessions.splitting import split_by_size

_SH_SET: Final = COMMANDS["SH_SET"]


class Plan(NamedTuple):
    """The writes, each with the keys of one frame, and the names to remove after them."""

    writes: list[dict[str, bytes]]
    removals: list[str]


def own_keys(whole: Read) -> dict[str, bytes]:
    """Return the effective keys of a session that was read whole. Staged keys replace others of the same name."""
    stored = whole.keys
    keys = {name: text for name, text in stored.items() if text != REMOVED and not is_reserved(name)}
    prefix = whole.envelope.staged if whole.envelope is not None else None
    if prefix is None:
        return keys
    keys.update(_staged(stored, prefix))
    return {name: text for name, text in keys.items() if text != REMOVED}


def _staged(stored: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    """Return the keys that an upgrade has staged, under their own names."""
    return {name[len(prefix) :]: text for name, text in stored.items() if name.startswith(prefix)}


def plan_upgrade(
    model: str,
    whole: Read,
    final: Mapping[str, bytes],
    version: int,
    max_payload: int | None,
    by: str | None = None,
) -> Plan:
    """Return the writes after which a session that was read whole has exactly these keys, in this version.

    Raises:
        PayloadTooLargeError: a single key is larger than the server takes.
    """
    writes = list(_Planning(model, final, version, max_payload, by).writes(whole))
    prefixes = {_prefix(whole.reserved), *(_prefix(part[RESERVED_KEY]) for part in writes if RESERVED_KEY in part)}
    ours = tuple(prefix for prefix in prefixes if prefix is not None)
    known = dict.fromkeys(name for part in (whole.keys, *writes) for name in part)
    # Keys that others stage are theirs. If their upgrade was cut short, these stay unread until the session ends.
    own = [name for name in known if name.startswith(ours) or not is_reserved(name)]
    return Plan(writes, [name for name in own if name not in final])


def _prefix(reserved: bytes) -> str | None:
    envelope = read_envelope(reserved)
    return envelope.staged if envelope is not None else None


class _Planning(NamedTuple):
    model: str
    final: Mapping[str, bytes]
    version: int
    max_payload: int | None
    by: str | None

    def writes(self, whole: Read) -> Iterator[dict[str, bytes]]:
        stored = {name: text for name, text in whole.keys.items() if not is_reserved(name)}
        changed = {name: text for name, text in self.final.items() if stored.get(name) != text}
        changed.update((name, REMOVED) for name, text in stored.items() if name not in self.final and text != REMOVED)
        done = {RESERVED_KEY: restamped(whole.reserved, self.version, by=self.by)}
        parts = self._parts({**changed, **done})
        if len(parts) == 1:
            yield parts[0]
            return
        assert whole.envelope is not None
        if whole.envelope.staged is not None:
            yield from self._after_moving(whole, stored, whole.envelope.staged)
            return
        if whole.envelope.version != self.version:
            prefix = f"{RESERVED_KEY}:{secrets.token_hex(4)}:"
            yield from self._parts({prefix + name: text for name, text in changed.items()})
            yield {RESERVED_KEY: restamped(whole.reserved, self.version, prefix, by=self.by)}
        yield from self._parts(changed)
        yield done

    def _after_moving(self, whole: Read, stored: Mapping[str, bytes], prefix: str) -> Iterator[dict[str, bytes]]:
        """Finish an upgrade that was cut short, in the version that it committed, and go on from there."""
        assert whole.envelope is not None
        staged = _staged(whole.keys, prefix)
        yield from self._parts(staged)
        moved = restamped(whole.reserved, whole.envelope.version)
        yield {RESERVED_KEY: moved}
        after = Read(join_members({**stored, **staged}), read_envelope(moved), moved)
        if whole.envelope.version != self.version or own_keys(after) != self.final:
            yield from self.writes(after)

    def _parts(self, keys: Mapping[str, bytes]) -> list[dict[str, bytes]]:
        if self.max_payload is None:
            return [dict(keys)]
        return split_by_size(self.model, _SH_SET, keys.items(), self.max_payload)

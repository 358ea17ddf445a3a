"""Rules about a store in a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from ndb_models.doctor.facts import SqliteFacts
from ndb_models.doctor.findings import Finding, Rule, fine, note, problem, shown_bytes, warning

_NETWORKED: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs",
     "fuse.glusterfs", "fuse.ceph", "fuse.gcsfuse", "lustre", "beegfs", "davfs", "fuse.rclone"}
)  # fmt: skip
_VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
# As much again as the file, for its log and a backup, and no less than this.
_LEAST_FREE: Final = 256 * 1024 * 1024
_LARGE_LOG: Final = 512 * 1024 * 1024


def readable(facts: SqliteFacts) -> Iterator[Finding]:
    """Judge if the file is a store."""
    if not facts.exists:
        advice = "correct the path; the first use of the store creates the file"
        yield problem("reachable", f"there is no file {facts.path}", advice)
    elif facts.unreadable is not None:
        yield problem(
            "reachable", f"{facts.path}: {facts.unreadable}", "restore a backup, or correct the path or its rights"
        )
    else:
        yield fine("reachable", f"{facts.path} is a store of {shown_bytes(facts.size)}")


def modes(facts: SqliteFacts) -> Iterator[Finding]:
    """Judge the modes of the files and their folder."""
    for path, users in facts.open_to:
        yield problem("modes", f"{path} is open to {users}", f"make it private with: chmod go-rwx {shlex.quote(path)}")
    if facts.folder_open_to is not None:
        advice = "keep the file in a folder of mode 0700: others that may write there can replace it"
        yield warning("modes", f"the folder of {facts.path} can be changed by {facts.folder_open_to}", advice)
    if facts.exists and not facts.open_to:
        yield fine("modes", "only its owner may read the file")


def integrity(facts: SqliteFacts) -> Iterator[Finding]:
    """Judge if the file is damaged."""
    if facts.quick_check is None:
        yield fine("integrity", "SQLite's quick_check finds no fault")
    elif facts.quick_check:
        advice = "stop the processes that use it, and restore a backup that `ndb-models backup` made (docs/sqlite.md)"
        yield problem("integrity", f"the file is damaged: {facts.quick_check}", advice)


def durability(facts: SqliteFacts) -> Iterator[Finding]:
    """Judge the durability of writes."""
    if facts.journal_mode and facts.journal_mode != "wal":
        yield warning(
            "journal",
            f"the journal mode is {facts.journal_mode}, so that readers and writers wait for each other",
            "let this package open the file: it sets WAL; do not change it by other tools",
        )
    if facts.synchronous == "normal":
        yield note(
            "durability",
            "synchronous=normal: a power loss may take the last acknowledged writes",
            "leave it out of the URI to keep them",
        )
    elif facts.exists:
        yield fine("durability", "acknowledged writes survive a power loss")


def file_system(facts: SqliteFacts) -> Iterator[Finding]:
    """Judge where the file lies."""
    kind = facts.file_system
    if kind in _NETWORKED:
        advice = "keep it on a local disk: SQLite's locks do not work over a network; or share a server"
        yield problem("file-system", f"{facts.path} is on {kind}, a network file system", advice)
    elif kind in _VOLATILE:
        advice = "keep it on a disk"
        yield warning("file-system", f"{facts.path} is on {kind}: a restart of the machine loses all sessions", advice)
    elif kind:
        yield fine("file-system", f"a local file system, {kind}")


def space(facts: SqliteFacts) -> Iterator[Finding]:
    """Judge the space that is left."""
    if facts.free is None:
        return
    needed = max(facts.size, _LEAST_FREE)
    what = f"{shown_bytes(facts.free)} are left on the disk of {facts.path}"
    if facts.free < _LEAST_FREE:
        yield problem("space", what, "make room: on a full disk no session can be created or changed")
    elif facts.free < needed:
        yield warning(
            "space", what, "make room: a backup needs as much as the file, and its log grows between checkpoints"
        )
    else:
        yield fine("space", what)
    if facts.log_size > _LARGE_LOG:
        advice = "look for a process that reads for a long time, such as another tool: it keeps the log from being cut"
        yield warning("space", f"the write-ahead log has {shown_bytes(facts.log_size)}", advice)


RULES: Final[Sequence[Rule[SqliteFacts]]] = (readable, modes, integrity, durability, file_system, space)

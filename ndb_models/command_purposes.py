"""The purpose of each command of the protocol, in the words of an error message.

A user of a repository knows its verbs, but not the commands that they send.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PURPOSES: Final[Mapping[str, str]] = {
    "KV_SET": "write shared keys",
    "KV_ADD": "add shared keys",
    "KV_GET": "read shared keys",
    "KV_RMV": "remove shared keys",
    "KV_CLEAR": "remove all shared keys",
    "KV_CLEAR_SET": "replace all shared keys",
    "KV_COUNT": "count the shared keys",
    "KV_CONTAINS": "look for shared keys",
    "KV_KEYS": "list the shared keys",
    "KV_FIND": "search the shared keys",
    "KV_UPDATE": "change a shared key",
    "KV_ARR_APPEND": "append to a shared key",
    "KV_SAVE": "save the shared keys to a data set",
    "KV_LOAD": "load shared keys from a data set",
    "SH_NEW": "create a session",
    "SH_NEW_SET": "create a session",
    "SH_SET": "write to a session",
    "SH_ADD": "write to a session",
    "SH_GET": "read a session",
    "SH_PEEK": "read a session",
    "SH_RMV": "remove keys of a session",
    "SH_CLEAR": "remove the keys of a session",
    "SH_CLEAR_SET": "replace the keys of a session",
    "SH_COUNT": "count the keys of a session",
    "SH_CONTAINS": "look for keys of a session",
    "SH_KEYS": "list the keys of a session",
    "SH_CHANGE": "change a session",
    "SH_EXPIRE": "change the expiry of a session",
    "SH_INFO": "describe a session",
    "SH_EXISTS": "look for sessions",
    "SH_LIST": "list sessions",
    "SH_INFO_ALL": "count all sessions",
    "SH_END": "end a session",
    "SH_END_ALL": "end all sessions",
    "SH_SAVE": "save the sessions to a data set",
    "SH_LOAD": "load sessions from a data set",
    "SV_INFO": "identify the server",
}


def described_request(command: str) -> str:
    """Return a request in words, with its command: `the request to read a session (SH_PEEK)`.

    Any other text, such as the name of a field, is returned as it is.
    """
    purpose = PURPOSES.get(command)
    return command if purpose is None else f"the request to {purpose} ({command})"

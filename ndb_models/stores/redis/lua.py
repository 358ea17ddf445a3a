"""The state of a session on a server, and the Lua that all scripts share.

A session is one hash. Its keys are the hash's fields. One more field holds the session's state: its settings, and the
time at which it is due to expire. The name of that field is no UTF-8, so no key can have it. Every script reads the
state first: a session without it does not exist, so that no write can bring a session back to life. Expiry is computed
from the state. The server's own expiry of keys only frees the room of ended sessions.

The first argument of a script tells the time: an empty text for the server's own clock, "-" for the shared map, which
never expires, or the seconds on the caller's clock. A script returns nil if there is no session.

A caller that lost the answer runs a script again. If the answer depends on the earlier state, the script gets a second
key: it leaves its answer there for a while, and a second run returns it.

A full server refuses a write that may need room, but only if it is the first write of a script. So a script that has
such a write begins with it, and changes all or nothing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Final

from ndb_models.stores.contract import ExpirySettings
from ndb_models.stores.redis.script import Script
from ndb_models.types import shared_settings

SHARED_CLOCK: Final = b"-"
"""The first argument of a script on the shared map."""

SERVER_CLOCK: Final = b""
"""The first argument of a script on a session that goes by the server's clock."""

STATE: Final = b"\xff"
"""The field that holds a session's state."""

ANSWERS_KEPT: Final = 60
"""The seconds for which a script's answer is kept for a second run. A caller must not try for longer."""

GET_USE: Final = b"4"
"""The bit of a `get` in the flags of a session's settings."""

NO_USE: Final = b"0"
"""For reading without extending."""


_START: Final = rf"""
local key, STATE = KEYS[1], '\255'
local shared, by_server = ARGV[1] == '{SHARED_CLOCK.decode()}', ARGV[1] == ''
local now = tonumber(ARGV[1])
if by_server then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
"""

_FUNCTIONS: Final[Mapping[str, str]] = {
    "alive": """
-- Return the settings of a session, when its time comes, and whether its keys are gone by now; nothing if it does not
-- exist. One that has expired is removed, or it `stays`.
local function alive(state, stays)
  if not state then return nil end
  local flags, duration, touch_every, due = struct.unpack('>BI8I8d', state)
  if duration == 0 then return flags, duration, touch_every, due end
  if due > now + duration then due = now + duration end
  if now < due then return flags, duration, touch_every, due end
  if flags % 2 == 1 then
    if not stays then redis.call('UNLINK', key) end
    return nil
  end
  return flags, duration, touch_every, due + duration * (math.floor((now - due) / duration) + 1), true
end
""",
    "freed_at": """
-- Return when the server is to free a session that ends, in milliseconds; false for any other session.
local function freed_at(flags, due)
  return by_server and flags % 2 == 1 and due < 9000000000000 and math.ceil(due * 1000)
end
""",
    "remove_others": """
-- Remove all fields but the state and those that some arguments name. Removing the hash and writing it anew would fail:
-- while its slot moves to another server, this server refuses to create it, halfway through a script.
local function remove_others(first)
  local kept, gone = {[STATE] = true}, {}
  for i = first, #ARGV, 2 do kept[ARGV[i]] = true end
  local names = redis.call('HKEYS', key)
  for i = 1, #names do
    if not kept[names[i]] then gone[#gone + 1] = names[i] end
  end
  for from = 1, #gone, 4000 do
    redis.call('HDEL', key, unpack(gone, from, math.min(#gone, from + 3999)))
  end
end
""",
    "used": """
-- Use a session: extend it if its settings say so for this kind of use. Return whether it exists, and what `write`
-- takes if its state is another one by now.
local function used(state, kind)
  local flags, duration, touch_every, due, emptied = alive(state)
  if not flags then return false end
  if duration == 0 then return true end
  if bit.band(flags, kind) ~= 0 and now + duration >= due + touch_every then due = now + duration end
  local moved = string.sub(state, 1, 17) .. struct.pack('>d', due)
  if moved == state then return true end
  return true, moved, freed_at(flags, due), emptied
end
""",
    "write": """
-- Write the names and values from this argument on. With them, write a new state of a session, if there is one; let the
-- server free the session; and remove its other keys if they are gone. One command writes all, since a command takes
-- longer than a field.
local function write(first, state, freed, emptied)
  local last = math.min(#ARGV, first + 3999)
  if state then
    redis.call('HSET', key, STATE, state, unpack(ARGV, first, last))
    if freed then redis.call('PEXPIREAT', key, freed) end
    if emptied then remove_others(first) end
  elseif first <= last then
    redis.call('HSET', key, unpack(ARGV, first, last))
  end
  for from = last + 1, #ARGV, 4000 do
    redis.call('HSET', key, unpack(ARGV, from, math.min(#ARGV, from + 3999)))
  end
end
""",
    "reached": """
-- Return true for the shared map, or a session that exists, after using it.
local function reached(kind)
  if shared then return true end
  local exists, state, freed, emptied = used(redis.call('HGET', key, STATE), kind)
  if state then write(#ARGV + 1, state, freed, emptied) end
  return exists
end
""",
    "state_and_values": """
-- Return the state, and the values of the fields that some arguments name.
local function state_and_values(first, last)
  local found = redis.call('HMGET', key, STATE, unpack(ARGV, first, math.min(last, first + 3999)))
  for from = first + 4000, last, 4000 do
    local more = redis.call('HMGET', key, unpack(ARGV, from, math.min(last, from + 3999)))
    for i = 1, #more do found[#found + 1] = more[i] end
  end
  return found
end
""",
    "remove": """
-- Remove the fields that some arguments name.
local function remove(first, last)
  for from = first, last, 4000 do
    redis.call('HDEL', key, unpack(ARGV, from, math.min(last, from + 3999)))
  end
end
""",
    "number_of_keys": """
local function number_of_keys()
  return redis.call('HLEN', key) - (shared and 0 or 1)
end
""",
    "earlier": """
-- Return the answer of an earlier run of the same script, if there was one.
local function earlier()
  local answer = KEYS[2] and redis.call('GET', KEYS[2])
  return answer and tonumber(answer)
end
""",
    "answered": f"""
-- Keep the answer for a second run, and return it.
local function answered(answer)
  if KEYS[2] then redis.call('SET', KEYS[2], answer, 'EX', {ANSWERS_KEPT}) end
  return answer
end
""",
}
"""The functions that scripts share, by name. A function calls only earlier ones."""


def script(name: str, body: str, *, writes: bool = False) -> Script:
    """Return a script of this body, with only the functions that it calls: the server compiles them in each run.

    `writes` is False if it only reads. Expiry may write all the same.
    """
    for function, text in reversed([*_FUNCTIONS.items()]):
        if re.search(rf"\b{function}\b", body):
            body = text + body
    return Script(name, (_START + body).encode(), idempotent=True, writes=writes)


_SETTINGS: Final = struct.Struct(">BQQ")
_NEVER: Final = bytes(8)
_INFO: Final = struct.Struct(">BQQdd")


def packed(expiry: ExpirySettings) -> bytes:
    """Return settings as scripts take them."""
    uses = 2 * expiry.extend_on_set_add | 4 * expiry.extend_on_get
    return _SETTINGS.pack(expiry.delete_session | uses, expiry.duration, expiry.touch_every if uses else 0)


def ends_by_server(state: bytes) -> bool:
    """Return True for the state of a session on the servers' clock whose keys are there for as long as it lives.

    It never expires, or the server frees it when its time comes. So no arithmetic is needed to see that it lives.
    """
    return state[0] & 1 == 1 or state.startswith(_NEVER, 1)


def settings_of(state: bytes) -> ExpirySettings:
    """Return the settings in a session's state."""
    flags, duration, touch_every = _SETTINGS.unpack_from(state)
    return shared_settings(duration, bool(flags & 1), bool(flags & 2), bool(flags & 4), touch_every)


def times_of(info: bytes) -> tuple[float, float]:
    """Return when a session is due to expire, and the present time, from the answer of `INFO`."""
    *_, due, now = _INFO.unpack(info)
    return due, now

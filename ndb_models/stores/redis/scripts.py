"""The verbs of the contract in Lua. A server carries out each script as one step. `lua` has their shared functions."""

from __future__ import annotations

from typing import Final

from ndb_models.stores.redis.lua import script

SET: Final = script(
    "set",
    """
local exists, state, freed, emptied = shared
if not shared then exists, state, freed, emptied = used(redis.call('HGET', key, STATE), 2) end
if not exists then return false end
write(2, state, freed, emptied)
return 1
""",
    writes=True,
)
"""Arguments: the clock; names and values."""

ADD: Final = script(
    "add",
    """
if not reached(2) then return false end
for i = 2, #ARGV, 2 do redis.call('HSETNX', key, ARGV[i], ARGV[i + 1]) end
return 1
""",
    writes=True,
)
"""Arguments: as those of `SET`."""

GET: Final = script(
    "get",
    """
local values = state_and_values(4, #ARGV)
if not shared then
  local exists, state, freed, emptied = used(values[1], tonumber(ARGV[2]))
  if not exists then return false end
  if state then pcall(write, #ARGV + 1, state, freed, emptied) end -- a full server still reads
  for i = 2, emptied and #values or 0 do values[i] = false end
end
values[1] = ''
local most, size, number = tonumber(ARGV[3]), 0, 0
if not most then return values end
for i = 2, #values do
  if values[i] then
    size = size + #values[i] + #ARGV[i + 2]
    number = number + 1
  end
end
if number > 1 and size > most then return 0 end
return values
""",
)
"""Arguments: the clock; the kind of use; the most bytes, or nothing; names. Returns an item and the values, or 0."""

GET_ALL: Final = script("get_all", "if not reached(0) then return false end return redis.call('HGETALL', key)")
"""Arguments: the clock. Returns names and values, the state among them."""

REMOVE: Final = script("remove", "if not reached(0) then return false end remove(2, #ARGV) return 1", writes=True)
"""Arguments: the clock; names."""

CHANGE: Final = script(
    "change",
    """
if earlier() then return 1 end
local compared, gone = tonumber(ARGV[2]), tonumber(ARGV[3])
local values = state_and_values(4, 3 + compared)
local exists, state, freed, emptied = shared
if not shared then exists, state, freed, emptied = used(values[1], 2) end
if not exists then return false end
for i = 1, compared do
  if (not emptied and values[i + 1] or '') ~= ARGV[3 + compared + i] then return 0 end
end
write(4 + 2 * compared + gone, state, freed, emptied)
remove(4 + 2 * compared, 3 + 2 * compared + gone)
return answered(1)
""",
    writes=True,
)
"""Arguments: the clock; how many keys are compared and removed; the names compared, and their values, nothing for a
missing one; the names removed; names and values. Returns 1, or 0 if a value is another one."""

REPLACE: Final = script(
    "replace",
    """
local before = earlier()
if before then return before end
if not reached(0) then return false end
local removed = number_of_keys()
write(2)
remove_others(2)
return answered(removed)
""",
    writes=True,
)
"""Arguments: as those of `SET`. Returns how many keys were removed."""

COUNT: Final = script("count", "if not reached(0) then return false end return number_of_keys()")
"""Arguments: the clock."""

NAMES: Final = script(
    "names",
    """
if not reached(0) then return false end
local names, most = redis.call('HKEYS', key), tonumber(ARGV[2])
for i = #names, (most or #names) + 2, -1 do names[i] = nil end
return names
""",
)
"""Arguments: the clock; the most names, or nothing. Returns names, perhaps the state's among them. So
there may be one too many."""

CONTAINS: Final = script(
    "contains",
    """
if not reached(0) then return false end
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HEXISTS', key, ARGV[i]) end
return found
""",
)
"""Arguments: the clock; names. Returns 1 or 0 for each name."""

CREATE: Final = script(
    "create",
    """
if earlier() then return 1 end
local is_there = redis.call('EXISTS', key) == 1
if alive(redis.call('HGET', key, STATE), true) then return 0 end
local flags, duration = struct.unpack('>BI8', ARGV[2])
local due = duration == 0 and math.huge or now + duration
local freed = freed_at(flags, due)
write(3, ARGV[2] .. struct.pack('>d', due), freed, is_there)
if not freed then redis.call('PERSIST', key) end
return answered(1)
""",
    writes=True,
)
"""Arguments: the clock; the settings; names and values. Returns 1, or 0 if the session exists."""

EXPIRE: Final = script(
    "expire",
    """
local swapped = tonumber(ARGV[4])
local values = state_and_values(5, 4 + swapped)
local exists, _, _, due, emptied = alive(values[1])
if not exists then return false end
local changed = {}
for i = 1, swapped do
  local value, old, new = not emptied and values[i + 1], ARGV[4 + swapped + 2 * i - 1], ARGV[4 + swapped + 2 * i]
  if value ~= old and value ~= new then return 0 end
  changed[#changed + 1] = ARGV[4 + i]
  changed[#changed + 1] = new
end
local flags, duration = struct.unpack('>BI8', ARGV[2])
local latest = now + duration
if duration == 0 then
  due = math.huge
elseif ARGV[3] == '1' or latest < due then
  due = latest
end
local freed = freed_at(flags, due)
write(#ARGV + 1, ARGV[2] .. struct.pack('>d', due), freed, emptied)
if not freed then redis.call('PERSIST', key) end
if swapped > 0 then redis.call('HSET', key, unpack(changed)) end
return 1
""",
    writes=True,
)
"""Arguments: the clock; the settings; 1 to restart the timer; how many keys are swapped; their names; the old and the
new value of each. Returns 1, or 0 if a value is another one."""

END: Final = script(
    "end",
    """
if earlier() then return 1 end
if not alive(redis.call('HGET', key, STATE)) then return 0 end
redis.call('UNLINK', key)
return answered(1)
""",
    writes=True,
)
"""Arguments: the clock. Returns 1, or 0 if the session does not exist."""

INFO: Final = script(
    "info",
    """
local before = redis.call('HGET', key, STATE)
local exists, state, freed, emptied = used(before, 0)
if not exists then return false end
if state then write(#ARGV + 1, state, freed, emptied) end
return {(state or before) .. struct.pack('>d', now), number_of_keys()}
""",
)
"""Arguments: the clock. Returns the settings, when the time comes and the time, packed; and the number of keys."""


_EACH: Final = """
local outcomes = {{}}
for i = 1, #KEYS do
  key = KEYS[i]
  if reached(0) then {alive} else {gone} end
end
return outcomes
"""

EXIST: Final = script("exist", _EACH.format(alive="outcomes[i] = 1", gone="outcomes[i] = 0"))
"""Of several sessions. Arguments: the clock. Returns 1 or 0 for each."""

COUNT_EACH: Final = script("count each", _EACH.format(alive="outcomes[i] = number_of_keys()", gone="outcomes[i] = -1"))
"""Of several sessions. Arguments: the clock. Returns the number of keys of each, -1 for one that does not exist."""

VALUE_OF_EACH: Final = script(
    "value of each", _EACH.format(alive="outcomes[i] = redis.call('HGET', key, ARGV[2])", gone="outcomes[i] = false")
)
"""Of several sessions. Arguments: the clock; a name. Returns the key's value in each."""

RECORD_OF_EACH: Final = script(
    "record of each", _EACH.format(alive="outcomes[i] = redis.call('HGETALL', key)", gone="outcomes[i] = false")
)
"""Of several sessions. Arguments: the clock. Returns names and values of each, the state among them."""

END_EACH: Final = script(
    "end each",
    _EACH.format(alive="outcomes[i] = redis.call('UNLINK', key)", gone="outcomes[i] = 0"),
    writes=True,
)
"""Of several sessions. Arguments: the clock. Returns 1 for each that was ended."""

CHECK: Final = script("check", "return redis.call('DEL', key)", writes=True)
"""Of a key that does not exist. Arguments: the clock. Fails if writing would fail, except for lack of room."""

KEYS_IN_SLOTS: Final = script(
    "keys in slots",
    """
local found = {}
for slot = tonumber(ARGV[2]), tonumber(ARGV[3]) do
  if redis.call('CLUSTER', 'COUNTKEYSINSLOT', slot) > 0 then
    for _, name in ipairs(redis.call('CLUSTER', 'GETKEYSINSLOT', slot, 1000000000)) do
      if string.sub(name, 1, #ARGV[4]) == ARGV[4] and string.sub(name, -1) == '}' then found[#found + 1] = name end
    end
  end
end
return found
""",
)
"""Of a node of a cluster. Arguments: the clock; the first and the last slot; how the keys begin. Returns keys."""

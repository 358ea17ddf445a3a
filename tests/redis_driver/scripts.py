"""Scripts for tests of the driver."""

from __future__ import annotations

from ndb_models.stores.redis.script import Script

SET = Script("set", b"redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]", idempotent=True)
GET = Script("get", b"return redis.call('GET', KEYS[1])", idempotent=True, writes=False)
INCREMENT = Script("increment", b"return redis.call('INCR', KEYS[1])")
# Adds a number once, however often it is run: the second key notes what was answered.
ADD_ONCE = Script(
    "add once",
    b"""
local before = redis.call('GET', KEYS[2])
if before then return tonumber(before) end
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('SET', KEYS[2], sum, 'EX', 60)
return sum
""",
    idempotent=True,
)
ECHO = Script("echo", b"return ARGV[1]", idempotent=True, writes=False)
BROKEN = Script("broken", b"redis.call('SET', KEYS[1], 'half') return redis.call('LPUSH', KEYS[1], ARGV[1])")

"""Planning an upgrade's writes: after each, the session is as before or as after, for any keys and frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ndb_models.json_text import join_members
from ndb_models.schema.envelope import RESERVED_KEY, Envelope, read_envelope, write_envelope
from ndb_models.sessions.reading import Read
from ndb_models.sessions.upgrade_plan import own_keys, plan_upgrade

KEYS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "e"]),
    st.tuples(st.integers(0, 3), st.integers(1, 90)).map(lambda pair: b'"%s"' % (b"%d" % pair[0] * pair[1])),
)
LIMIT = st.none() | st.integers(330, 700)


def read_whole(session: dict[str, bytes]) -> Read:
    reserved = session[RESERVED_KEY]
    keys = {name: text for name, text in session.items() if name != RESERVED_KEY}
    return Read(join_members(keys), read_envelope(reserved), reserved)


def as_read(session: dict[str, bytes]) -> tuple[int, dict[str, bytes]]:
    """Return what any version makes of a session: its version, and its keys."""
    whole = read_whole(session)
    assert whole.envelope is not None
    assert (whole.envelope.schema, whole.envelope.tkn, whole.envelope.deadline) == ("doc", 2**63, 5)
    return whole.envelope.version, own_keys(whole)


def upgrade(session: dict[str, bytes], final: dict[str, bytes], version: int, limit: int | None, cut: int) -> bool:
    """Carry out so many steps of an upgrade; return whether these were all. After each, it is as before or as after."""
    before, after = as_read(session), (version, final)
    plan = plan_upgrade("Doc", read_whole(session), final, version, limit)
    was_after = False
    for part in plan.writes[:cut]:
        session.update(part)
        now = as_read(session)
        assert now == after if was_after else now in (before, after)
        was_after = now == after != before
    if cut <= len(plan.writes):
        return False
    assert as_read(session) == after
    for name in plan.removals:
        session.pop(name, None)
        assert as_read(session) == after
    return True


@given(KEYS, KEYS, KEYS, LIMIT, LIMIT, st.integers(0, 12))
def test_cut_anywhere_and_taken_up_by_the_next_version_it_is_always_one_or_the_other(
    first: dict[str, bytes],
    second: dict[str, bytes],
    third: dict[str, bytes],
    limit: int | None,
    other_limit: int | None,
    cut: int,
) -> None:
    session = {**first, RESERVED_KEY: write_envelope(Envelope("doc", 1, tkn=2**63, deadline=5))}
    upgrade(session, second, 2, limit, cut)
    if as_read(session)[0] == 2:
        finished = dict(session)
        assert any(upgrade(finished, second, 2, other_limit, again) for again in range(20))
    for again in range(20):
        attempt = dict(session)
        # Who reads an upgrade that was cut short before it was committed begins with what there was.
        if upgrade(attempt, third, 3, other_limit, again):
            assert as_read(attempt) == (3, third)
            left = {name for name in attempt if not name.startswith(f"{RESERVED_KEY}:")}
            assert left == {*third, RESERVED_KEY}
            return
    raise AssertionError("it was always cut")

"""What every store promises of keys and of sessions. When sessions expire is in `test_contract_expiry`."""

from __future__ import annotations

import asyncio

import pytest

from ndb_models.expectations import TextDigest
from ndb_models.json_text import ObjectText
from ndb_models.stores.contract import (
    NEVER,
    SHARED,
    ExpirySettings,
    Scope,
    SessionInfo,
    SessionRecord,
    Store,
    UnknownSessionError,
)
from tests.stores.conftest import TOKEN
from tests.stores.verbs import ON_A_MAP

OTHER = 7
MAX_TOKEN = 2**64 - 1
TOKENS_AT_THE_EDGES = [0, 1, 2**63 - 1, 2**63, MAX_TOKEN]
NAMES_THAT_TRY = ["", " ", "__ndb__", "é", "e\u0301", "😀", 'quo"te', "nul\0byte", "%s", "a:b{c}", "x" * 10_000]


class TestAMapOfKeys:
    """The shared map and a session's own behave alike."""

    async def test_set_writes_over_what_is_there_and_leaves_the_others(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        await store.set(scope, {"b": b"3", "c": b"4"})
        assert await store.get_all(scope) == {"a": b"1", "b": b"3", "c": b"4"}

    async def test_set_of_nothing_changes_nothing(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1"})
        await store.set(scope, {})
        assert await store.get_all(scope) == {"a": b"1"}

    async def test_set_twice_is_set_once(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1"})
        await store.set(scope, {"a": b"1"})
        assert await store.get_all(scope) == {"a": b"1"}

    async def test_add_leaves_what_is_there_and_writes_the_rest(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1"})
        await store.add(scope, {"a": b"2", "b": b"3"})
        await store.add(scope, {"a": b"4", "b": b"5"})
        assert await store.get_all(scope) == {"a": b"1", "b": b"3"}

    async def test_get_leaves_out_what_is_missing_and_keeps_the_order_of_the_names(
        self, store: Store, scope: Scope
    ) -> None:
        await store.set(scope, {"a": b"1", "b": b"2", "c": b"3"})
        found = await store.get(scope, ["c", "missing", "a"])
        assert list(found.items()) == [("c", b"3"), ("a", b"1")]

    async def test_get_gives_a_name_that_is_repeated_once(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1"})
        assert await store.get(scope, ["a", "a"]) == {"a": b"1"}

    async def test_an_empty_map_has_nothing(self, store: Store, scope: Scope) -> None:
        assert await store.get(scope, ["a"]) == {}
        assert await store.get_all(scope) == {}
        assert await store.count(scope) == 0
        assert await store.names(scope) == []
        assert await store.contains(scope, ["a"]) == []
        assert await store.clear(scope) == 0

    async def test_what_get_all_returned_is_not_the_store_itself(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1"})
        all_keys = await store.get_all(scope)
        all_keys["b"] = b"2"
        await store.set(scope, {"c": b"3"})
        assert await store.get_all(scope) == {"a": b"1", "c": b"3"}
        assert all_keys == {"a": b"1", "b": b"2"}

    async def test_what_was_given_to_set_may_change_afterwards(self, store: Store, scope: Scope) -> None:
        given = {"a": b"1"}
        await store.set(scope, given)
        given["b"] = b"2"
        assert await store.get_all(scope) == {"a": b"1"}

    async def test_remove_takes_what_is_there_and_minds_nothing_else(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        await store.remove(scope, ["missing", "a", "a"])
        await store.remove(scope, ["a"])
        assert await store.get_all(scope) == {"b": b"2"}

    async def test_change_writes_only_over_what_is_still_as_it_was(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1"})
        assert await store.change(scope, {"a": b"2"}, expected={"a": b"1"})
        assert not await store.change(scope, {"a": b"3"}, expected={"a": b"1"})
        assert not await store.change(scope, {"missing": b"3"}, expected={"missing": b"1"})
        assert await store.get_all(scope) == {"a": b"2"}

    async def test_change_compares_bytes_and_not_json(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1.0"})
        assert not await store.change(scope, {"a": b"2"}, expected={"a": b"1.00"})
        assert await store.change(scope, {"a": b"1.0"}, expected={"a": b"1.0"})

    @pytest.mark.parametrize(
        ("value", "fits"),
        [
            (b'{"x":0,"b":{"y":5}}', True),
            (b'{"x":0,"b":{"y":5}', False),
            (b'{"y":5}', False),
            (b'{"y":5}}', False),
            (b'"other"', False),
            (TextDigest.of(b'{"x":0,"b":{"y":5}}'), True),
            (TextDigest.of(b"1"), False),
            (None, False),
        ],
    )
    async def test_change_of_nothing_compares_a_whole_value(
        self, store: Store, scope: Scope, value: bytes | TextDigest | None, fits: bool
    ) -> None:
        await store.set(scope, ObjectText.joined({"a": b"1", "b": b'{"x":0,"b":{"y":5}}'}))
        assert await store.change(scope, {}, (), {"b": value}) is fits
        assert await store.get_all(scope) == {"a": b"1", "b": b'{"x":0,"b":{"y":5}}'}

    async def test_change_writes_and_removes_in_one_step_or_leaves_all(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2", "c": b"3"})
        before = await store.get_all(scope)
        for expected in ({"a": b"1", "b": b"1"}, {"a": None}, {"d": b"1"}, {"b": TextDigest.of(b"1")}):
            assert not await store.change(scope, {"a": b"9", "d": b"9"}, ["b"], expected)
            assert await store.get_all(scope) == before
        fitting = {"a": b"1", "b": TextDigest.of(b"2"), "d": None}
        assert await store.change(scope, {"a": b"9", "c": b"8", "d": b"7"}, ["b", "c", "missing"], fitting)
        assert await store.get_all(scope) == {"a": b"9", "c": b"8", "d": b"7"}

    async def test_change_without_conditions_or_keys_is_made(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        assert await store.change(scope, {})
        assert await store.change(scope, ObjectText.joined({"a": b"3"}))
        assert await store.change(scope, {}, ["b"], {"a": b"3"})
        assert await store.get_all(scope) == {"a": b"3"}
        assert await store.change(scope, {}, ["a"])
        assert await store.change(scope, {}, (), {"a": None})
        assert await store.get_all(scope) == {}

    async def test_clear_removes_all_and_counts_them(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        assert await store.clear(scope) == 2
        assert await store.clear(scope) == 0
        assert await store.get_all(scope) == {}

    async def test_replace_leaves_only_the_new_and_counts_the_removed(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        assert await store.replace(scope, {"b": b"3", "c": b"4", "d": b"5"}) == 2
        assert await store.get_all(scope) == {"b": b"3", "c": b"4", "d": b"5"}
        assert await store.replace(scope, {}) == 3
        assert await store.get_all(scope) == {}

    async def test_count_and_names_are_of_the_keys_that_are_there(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        await store.set(scope, {"b": b"3"})
        assert await store.count(scope) == 2
        assert sorted(await store.names(scope)) == ["a", "b"]
        assert len(await store.names(scope, 1)) == 1
        assert sorted(await store.names(scope, 3)) == ["a", "b"]

    async def test_contains_keeps_order_and_repetition(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        assert await store.contains(scope, ["b", "missing", "a", "b"]) == ["b", "a", "b"]

    async def test_names_may_come_from_an_iterator(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"a": b"1", "b": b"2"})
        assert await store.contains(scope, iter(["a"])) == ["a"]
        await store.remove(scope, iter(["a"]))
        assert await store.names(scope) == ["b"]

    @pytest.mark.parametrize("name", NAMES_THAT_TRY, ids=lambda name: repr(name[:12]))
    async def test_any_string_names_a_key(self, store: Store, scope: Scope, name: str) -> None:
        await store.set(scope, {name: b"1", "other": b"2"})
        assert await store.get(scope, [name]) == {name: b"1"}
        assert await store.contains(scope, [name]) == [name]
        assert await store.change(scope, {name: b"3"}, expected={name: b"1"})
        await store.remove(scope, [name])
        assert await store.get_all(scope) == {"other": b"2"}

    @pytest.mark.parametrize(
        "value",
        [
            b"1e3",
            b"-0.0",
            b"0.10",
            b'"\\u00e9"',
            '"é\x7f"'.encode(),
            b"[1 ,\t2]",
            b"null",
            b'"' + b"x" * 1_000_000 + b'"',
        ],
    )
    async def test_a_value_is_kept_to_the_byte(self, store: Store, scope: Scope, value: bytes) -> None:
        await store.set(scope, {"a": value})
        assert await store.get(scope, ["a"]) == {"a": value}

    async def test_thousands_of_keys_are_no_exception(self, store: Store, scope: Scope) -> None:
        keys = {f"key{number}": b"%d" % number for number in range(3000)}
        await store.set(scope, keys)
        assert await store.get(scope, list(keys)) == keys
        assert await store.contains(scope, keys) == list(keys)
        await store.remove(scope, keys)
        assert await store.count(scope) == 0

    async def test_of_many_that_change_at_once_none_is_lost(self, store: Store, scope: Scope) -> None:
        await store.set(scope, {"counter": b"0"})

        async def increment() -> None:
            while True:
                old = (await store.get(scope, ["counter"]))["counter"]
                if await store.change(scope, {"counter": b"%d" % (int(old) + 1)}, expected={"counter": old}):
                    return

        await asyncio.gather(*(increment() for _ in range(20)))
        assert await store.get(scope, ["counter"]) == {"counter": b"20"}

    async def test_no_verb_sees_another_half_done(self, store: Store, scope: Scope) -> None:
        async def write(value: bytes) -> None:
            await store.replace(scope, {f"key{number}": value for number in range(50)})

        async def read() -> tuple[int, int]:
            keys = await store.get_all(scope)
            return len(keys), len(set(keys.values()))

        await write(b"0")
        tasks = [asyncio.create_task(read())]
        for number in range(20):
            await asyncio.gather(write(b"%d" % number))
            tasks.append(asyncio.create_task(read()))
        assert set(await asyncio.gather(*tasks)) == {(50, 1)}


async def test_the_maps_are_separate(store: Store) -> None:
    for token in (0, TOKEN, OTHER):
        assert await store.create(token, NEVER)
        await store.set(token, {"a": b"%d" % token})
    await store.set(SHARED, {"a": b'"shared"'})
    await store.clear(OTHER)
    assert await store.get_all(0) == {"a": b"0"}
    assert await store.get_all(TOKEN) == {"a": b"%d" % TOKEN}
    assert await store.get_all(OTHER) == {}
    assert await store.get_all(SHARED) == {"a": b'"shared"'}


class TestSessions:
    async def test_a_new_session_has_no_keys_and_its_settings(self, store: Store) -> None:
        settings = ExpirySettings(60, delete_session=True, extend_on_set_add=True, extend_on_get=False)
        assert await store.create(TOKEN, settings)
        assert await store.info(TOKEN) == SessionInfo(0, settings, 60)
        assert await store.get_all(TOKEN) == {}

    async def test_a_session_that_never_expires_has_no_remaining_time(self, store: Store) -> None:
        settings = ExpirySettings(0, delete_session=True)
        assert await store.create(TOKEN, settings)
        await store.set(TOKEN, {"a": b"1"})
        assert await store.info(TOKEN) == SessionInfo(1, settings, None)

    async def test_a_token_in_use_is_not_created_again(self, store: Store) -> None:
        await store.create(TOKEN, ExpirySettings(60))
        await store.set(TOKEN, {"a": b"1"})
        assert not await store.create(TOKEN, NEVER)
        assert await store.info(TOKEN) == SessionInfo(1, ExpirySettings(60), 60)
        assert await store.get_all(TOKEN) == {"a": b"1"}

    async def test_one_of_many_that_create_a_session_at_once_does(self, store: Store) -> None:
        created = await asyncio.gather(*(store.create(TOKEN, NEVER) for _ in range(10)))
        assert sorted(created) == [False] * 9 + [True]

    @pytest.mark.parametrize("token", TOKENS_AT_THE_EDGES)
    async def test_every_unsigned_64_bit_integer_is_a_token(self, store: Store, token: int) -> None:
        assert await store.create(token, NEVER)
        await store.set(token, {"a": b"1"})
        assert await store.exist([token]) == [token]
        assert [record.token for record in await store.export()] == [token]
        assert await store.end(token)
        assert await store.exist([token]) == []

    async def test_an_ended_session_is_gone_with_its_keys(self, store: Store) -> None:
        await store.create(TOKEN, NEVER)
        await store.set(TOKEN, {"a": b"1"})
        assert await store.end(TOKEN)
        assert await store.exist([TOKEN]) == []
        assert await store.create(TOKEN, NEVER)
        assert await store.get_all(TOKEN) == {}

    async def test_only_the_first_of_two_that_end_a_session_did(self, store: Store) -> None:
        assert not await store.end(TOKEN)
        await store.create(TOKEN, NEVER)
        assert await store.end(TOKEN)
        assert not await store.end(TOKEN)

    async def test_end_all_ends_and_counts_sessions_and_leaves_the_shared_map(self, store: Store) -> None:
        await store.set(SHARED, {"a": b"1"})
        for token in (TOKEN, OTHER):
            await store.create(token, NEVER)
        assert await store.end_all() == 2
        assert await store.end_all() == 0
        assert await store.exist([TOKEN, OTHER]) == []
        assert await store.get_all(SHARED) == {"a": b"1"}

    async def test_exist_keeps_order_and_repetition(self, store: Store) -> None:
        for token in (TOKEN, OTHER):
            await store.create(token, NEVER)
        assert await store.exist(iter([OTHER, 99, TOKEN, OTHER])) == [OTHER, TOKEN, OTHER]
        assert await store.exist([]) == []

    async def test_totals_count_sessions_and_their_keys_and_not_the_shared(self, store: Store) -> None:
        assert await store.totals() == (0, 0)
        await store.set(SHARED, {"a": b"1"})
        for token in (TOKEN, OTHER):
            await store.create(token, NEVER)
        await store.set(TOKEN, {"a": b"1", "b": b"2"})
        await store.set(OTHER, {"a": b"1"})
        assert await store.totals() == (2, 3)


class TestUnknownSessions:
    @pytest.mark.parametrize("verb", ON_A_MAP)
    @pytest.mark.parametrize("ended", [False, True], ids=["never was", "has ended"])
    async def test_a_verb_on_their_map_raises_and_changes_nothing(self, store: Store, verb: str, ended: bool) -> None:
        await store.set(SHARED, {"a": b"1"})
        await store.create(OTHER, NEVER)
        await store.set(OTHER, {"a": b"1"})
        if ended:
            await store.create(TOKEN, NEVER)
            await store.set(TOKEN, {"a": b"1"})
            await store.end(TOKEN)
        with pytest.raises(UnknownSessionError):
            await ON_A_MAP[verb](store, TOKEN)
        assert await store.exist([TOKEN]) == []
        assert await store.totals() == (1, 1)
        assert await store.get_all(OTHER) == {"a": b"1"}
        assert await store.get_all(SHARED) == {"a": b"1"}

    async def test_there_is_no_info_of_them(self, store: Store) -> None:
        with pytest.raises(UnknownSessionError):
            await store.info(TOKEN)


class TestExportAndRestore:
    async def test_what_is_exported_is_restored_whole(self, store: Store) -> None:
        settings = ExpirySettings(60, delete_session=True, extend_on_set_add=False, extend_on_get=True)
        await store.create(TOKEN, settings)
        await store.set(TOKEN, {"a": b"1e3", "b": b"[1 ]"})
        (record,) = await store.export()
        assert record == SessionRecord(TOKEN, settings, {"a": b"1e3", "b": b"[1 ]"})
        await store.end_all()
        assert await store.create(record.token, record.expiry, record.keys)
        assert await store.get_all(TOKEN) == {"a": b"1e3", "b": b"[1 ]"}
        assert await store.info(TOKEN) == SessionInfo(2, settings, 60)

    async def test_a_session_that_exists_is_not_restored_over(self, store: Store) -> None:
        await store.create(TOKEN, ExpirySettings(60))
        await store.set(TOKEN, {"a": b"1"})
        assert not await store.create(TOKEN, NEVER, {"b": b"2"})
        assert await store.get_all(TOKEN) == {"a": b"1"}
        assert await store.info(TOKEN) == SessionInfo(1, ExpirySettings(60), 60)

    async def test_export_of_tokens_gives_those_that_exist_each_once(self, store: Store) -> None:
        for token in (TOKEN, OTHER, 8):
            await store.create(token, NEVER)
        records = await store.export([OTHER, 99, TOKEN, OTHER])
        assert sorted(record.token for record in records) == [OTHER, TOKEN]
        assert await store.export([]) == []

    async def test_an_export_is_of_one_moment(self, store: Store) -> None:
        await store.create(TOKEN, NEVER)
        await store.set(TOKEN, {"a": b"1"})
        (record,) = await store.export()
        await store.set(TOKEN, {"a": b"2", "b": b"3"})
        assert record.keys == {"a": b"1"}

    async def test_a_restored_session_is_not_bound_to_its_record(self, store: Store) -> None:
        keys = {"a": b"1"}
        record = SessionRecord(TOKEN, NEVER, keys)
        await store.create(record.token, record.expiry, record.keys)
        keys["b"] = b"2"
        await store.set(TOKEN, {"c": b"3"})
        assert await store.get_all(TOKEN) == {"a": b"1", "c": b"3"}
        assert record.keys == {"a": b"1", "b": b"2"}


class TestKeysAsOneText:
    """What came as one text is a mapping like any other, whichever verb looks at it or changes it."""

    KEYS = ObjectText(b'{"a":1,"b":[2, 3],"c":"x"}', ("a", "b", "c"))

    @pytest.fixture(params=["created", "set", "set over others"])
    async def kept(self, request: pytest.FixtureRequest, store: Store) -> Store:
        if request.param == "created":
            await store.create(TOKEN, NEVER, self.KEYS)
        else:
            await store.create(TOKEN, NEVER)
            if request.param == "set over others":
                await store.set(TOKEN, {"a": b"0"})
            await store.set(TOKEN, self.KEYS)
        return store

    async def test_it_is_returned_whole_and_in_part(self, kept: Store) -> None:
        assert await kept.get(TOKEN, ("a", "b", "c")) == {"a": b"1", "b": b"[2, 3]", "c": b'"x"'}
        assert await kept.get(TOKEN, ["c", "missing", "a"]) == {"c": b'"x"', "a": b"1"}
        assert list(await kept.get(TOKEN, ("c", "b", "a"))) == ["c", "b", "a"]
        assert await kept.get_all(TOKEN) == self.KEYS

    async def test_it_is_counted_and_listed(self, kept: Store) -> None:
        assert await kept.count(TOKEN) == 3
        assert sorted(await kept.names(TOKEN)) == ["a", "b", "c"]
        assert await kept.contains(TOKEN, ["b", "d"]) == ["b"]
        assert (await kept.info(TOKEN)).key_count == 3
        assert await kept.totals() == (1, 3)
        assert await kept.export() == [SessionRecord(TOKEN, NEVER, dict(self.KEYS))]

    async def test_changing_the_session_leaves_the_text_alone(self, kept: Store) -> None:
        await kept.add(TOKEN, {"a": b"9", "d": b"4"})
        await kept.set(TOKEN, {"b": b"5"})
        await kept.remove(TOKEN, ["c"])
        assert await kept.get_all(TOKEN) == {"a": b"1", "b": b"5", "d": b"4"}
        assert dict(self.KEYS) == {"a": b"1", "b": b"[2, 3]", "c": b'"x"'}

    async def test_it_is_cleared_and_replaced(self, kept: Store) -> None:
        assert await kept.replace(TOKEN, {"z": b"1"}) == 3
        assert await kept.get_all(TOKEN) == {"z": b"1"}
        assert await kept.replace(TOKEN, self.KEYS) == 1
        assert await kept.clear(TOKEN) == 3
        assert await kept.get_all(TOKEN) == {}

    async def test_it_may_be_shared_by_all(self, store: Store) -> None:
        await store.set(SHARED, self.KEYS)
        assert await store.get_all(SHARED) == self.KEYS


async def test_closing_twice_does_no_harm(store: Store) -> None:
    await store.set(SHARED, {"a": b"1"})
    await store.aclose()
    await store.aclose()

"""Declaring versions: the class keywords, the steps, and what they may return."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from ndb_models import Expiry, JsonValue, NdbClient, Repository, SchemaError, SessionModel, UpgradeError
from ndb_models.schema.versions import Upgrades
from tests.schema.test_definitions import declare

T = TypeVar("T")
Keys = dict[str, JsonValue]


def same(keys: Keys) -> Keys:
    return keys


def test_a_class_is_of_the_first_version_unless_it_says_otherwise() -> None:
    assert declare(annotations={}).session_options.version == 1
    assert declare(annotations={}, version=3).session_options.version == 3


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "2", None, 2**53])
@pytest.mark.parametrize("keyword", ["version", "oldest"])
def test_a_version_is_a_whole_number_from_1_on(keyword: str, version: Any) -> None:
    with pytest.raises(SchemaError, match=rf"Declared: {keyword}= is a whole number from 1 on"):
        declare(annotations={}, **{keyword: version})


def test_the_oldest_version_is_at_most_the_version() -> None:
    with pytest.raises(SchemaError, match="oldest=3 is above version=2"):
        declare(annotations={}, version=2, oldest=3)
    assert declare(annotations={}, version=2, oldest=2).session_options.version == 2


def test_a_subclass_is_another_schema_with_versions_of_its_own() -> None:
    class User(SessionModel, version=2, expiry=Expiry(idle=60)):
        name: str = ""

    class Admin(User):
        pass

    assert Admin.session_options.version == 1
    assert Admin.session_options.expiry == Expiry(idle=60)


async def test_a_generic_class_gives_its_versions_to_its_parametrisations(client: NdbClient) -> None:
    class Page(SessionModel, Generic[T], version=2):
        items: list[T]

    pages = Page[int]

    @Page.upgrade(1)
    def listed(keys: Keys) -> Keys:
        return {"items": [keys["item"]]}

    repo = Repository(client, pages)
    saved = await repo.save(pages(items=[1]))
    await client.sh_set({"item": 7, "__ndb__": {"schema": "Page[int]", "version": 1, "tkn": saved.tkn}}, saved.tkn)
    assert await repo.get(saved.tkn) == pages(items=[7])


def test_a_step_is_still_the_function_that_it_was() -> None:
    model = declare(annotations={}, version=2)
    assert model.upgrade(1)(same) is same


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (0, r"upgrade\(0\) is never used: the class has version=3, and upgrades sessions from version 2 on"),
        (1, r"upgrade\(1\) is never used"),
        (3, r"upgrade\(3\) is never used"),
        (True, "takes the version that it upgrades from"),
        ("2", "takes the version that it upgrades from"),
        (same, "takes the version that it upgrades from"),
    ],
)
def test_a_step_that_can_never_run_is_refused_where_it_is_declared(version: Any, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        declare(annotations={}, version=3, oldest=2).upgrade(version)


def test_a_class_without_older_versions_takes_no_steps() -> None:
    with pytest.raises(SchemaError, match=r"upgrade\(1\) is never used: sessions of version 1 are current"):
        declare(annotations={}).upgrade(1)


def test_a_step_is_declared_once() -> None:
    model = declare(annotations={}, version=2)
    model.upgrade(1)(same)
    with pytest.raises(SchemaError, match=r"there is an upgrade\(1\) already"):
        model.upgrade(1)
    waiting, other = declare(annotations={}, version=2), same
    first, second = waiting.upgrade(1), waiting.upgrade(1)
    first(same)
    with pytest.raises(SchemaError, match="already"):
        second(other)


async def awaited(keys: Keys) -> Keys:
    return keys


class AwaitedToo:
    async def __call__(self, keys: Keys) -> Keys:
        return keys


@pytest.mark.parametrize(
    ("step", "problem"),
    [(None, "given to a function"), ({}, "given to a function"), (awaited, "plain"), (AwaitedToo(), "plain")],
)
def test_what_is_no_plain_function_is_refused_where_it_is_declared(step: Any, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        declare(annotations={}, version=2).upgrade(1)(step)


@pytest.mark.parametrize("step", [lambda: None, lambda keys, version: keys, lambda keys, *, version: keys])
def test_what_does_not_take_the_keys_alone_is_refused_where_it_is_declared(step: Any) -> None:
    with pytest.raises(SchemaError, match=r"upgrade\(1\) is called with the keys alone"):
        declare(annotations={}, version=2).upgrade(1)(step)


@pytest.mark.parametrize("step", [dict, lambda *all_of_it: {}, lambda keys, version=1: keys])
def test_what_takes_the_keys_and_may_take_more_is_a_step(step: Any) -> None:
    model = declare(annotations={}, version=2)
    assert model.upgrade(1)(step) is step


def test_a_gap_is_found_when_a_repository_is_made_before_anything_is_sent() -> None:
    model = declare(annotations={}, version=4)
    model.upgrade(1)(same)
    model.upgrade(3)(same)
    with pytest.raises(SchemaError, match=r"version 2: add @Declared.upgrade\(2\), or, .*, say oldest=3"):
        Repository(NdbClient(), model)
    model.upgrade(2)(same)
    Repository(NdbClient(), model)


def test_a_huge_version_without_steps_is_a_gap_like_any_other() -> None:
    with pytest.raises(SchemaError, match="nothing upgrades sessions of version 1:"):
        Repository(NdbClient(), declare(annotations={}, version=2**53 - 1))


def test_no_field_may_be_called_upgrade() -> None:
    with pytest.raises(SchemaError, match=r"Declared\.upgrade"):
        declare(annotations={"upgrade": int})


# What a step gets and returns


def run(step: Callable[[Any], Any], **texts: bytes) -> dict[str, bytes]:
    upgrades = Upgrades("User", 2)
    upgrades.add(1, step)
    return upgrades.run(texts, 1, 12345678)


def test_a_step_gets_json_values_and_what_it_returns_is_written_as_json() -> None:
    seen: list[Keys] = []

    def step(keys: Keys) -> Keys:
        seen.append({**keys})
        return {"a": {"b": [1, 2.5, None, True, "é"]}, "kept": keys["kept"]}

    assert run(step, kept=b'[ 1, {"x": null} ]') == {
        "a": '{"b":[1,2.5,null,true,"é"]}'.encode(),
        "kept": b'[ 1, {"x": null} ]',
    }
    assert seen == [{"kept": [1, {"x": None}]}]


@pytest.mark.parametrize("text", [b"1e3", b"-0.0", b"123456789012345678901234567890", b'{"b":1,  "a":2}', b"1.10"])
def test_the_text_of_a_key_that_no_step_changes_stays_what_it_was(text: bytes) -> None:
    assert run(same, a=text) == {"a": text}


def test_what_a_step_does_inside_of_a_value_is_seen() -> None:
    def step(keys: Any) -> Any:
        keys["roles"].append("r")
        return keys

    assert run(step, roles=b'["q"]', name=b'"b"') == {"roles": b'["q","r"]', "name": b'"b"'}


def test_steps_run_in_their_order_each_on_what_the_one_before_returned() -> None:
    upgrades = Upgrades("User", 4)
    for version in (3, 1, 2):
        upgrades.add(version, lambda keys, version=version: {"log": [*keys["log"], version]})
    assert upgrades.run({"log": b"[0]"}, 1, 5) == {"log": b"[0,1,2,3]"}
    assert upgrades.run({"log": b"[0]"}, 3, 5) == {"log": b"[0,3]"}


def fail(keys: Any) -> Any:
    raise ValueError(keys["name"])


FAILING_LINE = fail.__code__.co_firstlineno + 1


class Model(BaseModel):
    canary: str = "canary"


async def coroutine(keys: Any) -> Any:
    return keys


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (fail, "it raised ValueError"),
        (lambda keys: keys[keys["name"]], "it raised KeyError"),
        (lambda keys: None, "a value of type NoneType, not the dict of the keys"),
        (lambda keys: [("canary", 1)], "a value of type list"),
        (lambda keys: Model(), "a value of type Model"),
        (lambda keys: coroutine(keys), "a value of type coroutine"),
        (lambda keys: {1: "canary"}, "a name of type int"),
        (lambda keys: {"__ndb__": {}}, "the reserved key '__ndb__'"),
        (lambda keys: {"__ndb__:x": {}}, "the reserved key '__ndb__'"),
        (lambda keys: {"a": {1, 2}}, "for 'a' is not JSON"),
        (lambda keys: {"a": {"canary": float("nan")}}, "for 'a' is not JSON"),
        (lambda keys: {"a": {"canary": {1: 2}}}, "for 'a' is not JSON"),
        (lambda keys: {"a": "\ud800"}, "for 'a' is not JSON"),
        (lambda keys: {"\ud800": "a"}, r"for '\.\.\.' is not JSON"),
        (lambda keys: {"a": Model()}, "for 'a' is not JSON"),
    ],
)
def test_a_step_that_fails_is_named_with_the_reason_and_without_values(step: Callable[[Any], Any], reason: str) -> None:
    with pytest.raises(UpgradeError, match=reason) as caught:
        run(step, name=b'"canary"')
    message = str(caught.value)
    assert "User" in message
    assert "upgrade(1), from version 1 to 2" in message
    assert "canary" not in message
    assert "12345678" not in message
    assert (caught.value.model, caught.value.version, caught.value.tkn) == ("User", 1, 12345678)
    if "raised" in reason:
        assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_step_that_raises_is_named_with_the_line_and_what_it_raised_is_not_kept() -> None:
    with pytest.raises(
        UpgradeError, match=rf"it raised ValueError in fail, line {FAILING_LINE} of {__name__}"
    ) as caught:
        run(fail, name=b'"canary"')
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_step_that_is_no_python_is_named_without_a_line() -> None:
    with pytest.raises(UpgradeError, match=r"it raised TypeError;"):
        run(operator.index, name=b"1")


def test_a_step_that_is_interrupted_is_interrupted() -> None:
    def interrupted(keys: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted, a=b"1")


def test_what_is_nested_too_deep_for_a_step_is_refused() -> None:
    with pytest.raises(UpgradeError, match="nested too deep"):
        run(same, a=b"[" * 300 + b"]" * 300)

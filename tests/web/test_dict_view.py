"""`request.session` is a dict, over the values of a model."""

from __future__ import annotations

import copy
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError
from starlette.middleware.sessions import Session

from ndb_models import InvalidArgumentError, NdbClient, Repository, SessionModel, UnstorableError
from ndb_models.schema.envelope import RESERVED_KEY
from ndb_models.web.dict_view import SessionView
from ndb_models.web.viewed_class import ViewedClass

M = TypeVar("M", bound=SessionModel)


class Free(SessionModel, schema="web.view.free", extra="allow"):
    pass


class Cart(SessionModel, schema="web.view.cart"):
    user: str | None = None
    items: dict[str, int] = Field(default_factory=dict)
    seen: list[str] = []
    visits: int = 0


class Account(SessionModel, schema="web.view.account", extra="allow"):
    user: str
    theme: str = "light"


FREE: Final = ViewedClass(Free)
CART: Final = ViewedClass(Cart)
ACCOUNT: Final = ViewedClass(Account)


@dataclass
class Visit(Generic[M]):
    """Knows the session of a request."""

    session: M | None


def shown(viewed: ViewedClass[M], session: M | None = None) -> SessionView[M]:
    return SessionView(viewed, Visit(session))


def free(**values: object) -> SessionView[Free]:
    return shown(FREE, Free.model_validate(values))


async def stored(client: NdbClient, view: SessionView[Any], model: type[SessionModel]) -> Any:
    """Store what a view settles on, as the middleware does, and read it again."""
    repo = Repository(client, model)
    settled = view.settled()
    assert settled is not None
    return await repo.get((await repo.save(settled)).tkn)


def test_the_fields_and_the_extra_keys_are_its_keys() -> None:
    view = shown(ACCOUNT, Account.model_validate({"user": "ada", "theme": "dark", "_state_x": {"a": 1}}))
    assert view == {"user": "ada", "theme": "dark", "_state_x": {"a": 1}}
    assert [*view] == ["user", "theme", "_state_x"]


def test_changes_are_seen_both_ways_nested_ones_too() -> None:
    session = Account.model_validate({"user": "ada", "cart": {"apple": 1}})
    view = shown(ACCOUNT, session)
    view["user"] = "eve"
    view["cart"]["pear"] = 2
    view["more"] = [1]
    assert session == Account.model_validate({"user": "eve", "cart": {"apple": 1, "pear": 2}, "more": [1]})
    session.user = "bob"
    assert view["user"] == "bob"
    assert {**view} == {"user": "bob", "cart": {"apple": 1, "pear": 2}, "more": [1]}


def test_a_value_that_was_put_in_may_be_changed_afterwards() -> None:
    view, mine = free(), {"a": 1}
    view["mine"] = mine
    mine["b"] = 2
    assert view["mine"] is mine
    assert view.settled() == Free.model_validate({"mine": {"a": 1, "b": 2}})


def test_a_field_at_its_default_counts_as_absent() -> None:
    view = shown(CART, Cart(visits=1))
    assert view == {"visits": 1}
    assert "user" not in view
    assert view.get("user", "nobody") == "nobody"
    with pytest.raises(KeyError):
        del view["user"]
    with pytest.raises(KeyError):
        view.pop("user")
    assert view.pop("visits") == 1
    assert not view
    assert len(view) == 0


def test_what_is_put_into_a_default_value_is_kept() -> None:
    session = Cart()
    view = shown(CART, session)
    assert view["user"] is None
    view["items"]["apple"] = 1
    view["seen"].append("apple")
    assert session == Cart(items={"apple": 1}, seen=["apple"])
    assert view == {"items": {"apple": 1}, "seen": ["apple"]}
    assert Cart() == Cart(items={}, seen=[])


def test_equal_values_of_other_types_are_no_default() -> None:
    view = shown(CART, Cart())
    view["visits"] = False
    assert "visits" in view


def test_a_visitor_who_only_reads_gets_no_session() -> None:
    view = shown(CART)
    assert view == {}
    assert view.get("user") is None
    assert view["items"] == {}
    assert "user" not in view
    assert json.dumps(view) == "{}"
    with pytest.raises(KeyError):
        view["unknown"]
    assert view.settled() is None
    assert not view.is_emptied


def test_a_visitor_who_writes_gets_one() -> None:
    view = shown(CART)
    view["visits"] = 1
    view["items"]["apple"] = 1
    assert view.settled() == Cart(visits=1, items={"apple": 1})


def test_a_visitor_who_only_changes_a_nested_value_gets_one() -> None:
    view = shown(CART)
    view["items"]["apple"] = 1
    assert view.settled() == Cart(items={"apple": 1})


def test_a_visitor_who_takes_back_everything_gets_none() -> None:
    view = shown(ACCOUNT)
    view["user"] = "ada"
    view["other"] = 1
    view.clear()
    assert view.settled() is None
    assert not view.is_emptied


def test_a_draft_that_does_not_fit_is_refused_by_name_without_its_values() -> None:
    view = shown(ACCOUNT)
    view["theme"] = "canary"
    with pytest.raises(UnstorableError, match=r"Account cannot be stored: user") as caught:
        view.settled()
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)
    assert caught.value.__context__ is None


def test_a_draft_is_validated_by_names_not_by_aliases() -> None:
    class Renamed(SessionModel, schema="web.view.renamed"):
        user: Annotated[str, Field(alias="userName")] = ""

    view = shown(ViewedClass(Renamed))
    view["user"] = "ada"
    settled = view.settled()
    assert settled is not None
    assert settled.user == "ada"


def test_a_validator_that_raises_any_error_refuses_a_draft() -> None:
    class Fragile(SessionModel, schema="web.view.fragile"):
        user: str = ""

        def model_post_init(self, context: object, /) -> None:
            raise RuntimeError("canary")

    view = shown(ViewedClass(Fragile))
    view["user"] = "ada"
    with pytest.raises(UnstorableError, match="RuntimeError") as caught:
        view.settled()
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_session_that_was_emptied_is_to_be_ended() -> None:
    def clear(view: SessionView[Any]) -> None:
        view.clear()

    def pop_all(view: SessionView[Any]) -> None:
        for key in [*view]:
            view.pop(key)

    def pop_items(view: SessionView[Any]) -> None:
        while view:
            view.popitem()

    for empty in (clear, pop_all, pop_items):
        for view in (free(a=1, b=2), shown(CART, Cart(visits=1)), shown(ACCOUNT, Account(user="ada"))):
            empty(view)
            assert view.is_emptied
            assert view == {}
    view = shown(CART, Cart())
    view.clear()
    assert view.is_emptied


def test_a_session_that_holds_nothing_is_not_ended_for_that() -> None:
    view = shown(CART, Cart())
    assert not view.is_emptied
    view["visits"] = 1
    assert not view.is_emptied


def test_a_session_that_is_cleared_and_filled_anew_stays() -> None:
    session = Account.model_validate({"user": "ada", "theme": "dark", "old": 1})
    view = shown(ACCOUNT, session)
    view.clear()
    assert session.user == "ada"  # the model stays whole until the answer begins
    view["user"] = "eve"
    assert not view.is_emptied
    assert view == {"user": "eve"}
    assert view.settled() is session
    assert session == Account(user="eve")
    assert view == {"user": "eve"}


def test_a_session_without_a_required_field_is_refused() -> None:
    session = Account.model_validate({"user": "ada", "theme": "dark"})
    view = shown(ACCOUNT, session)
    del view["user"]
    assert view == {"theme": "dark"}
    with pytest.raises(KeyError):
        view["user"]
    with pytest.raises(UnstorableError, match="user"):
        view.settled()
    assert session.user == "ada"


def test_another_session_is_shown_from_a_login_on() -> None:
    visit = Visit[Account](None)
    view = SessionView(ACCOUNT, visit)
    view["old"] = 1
    visit.session = Account(user="ada")
    assert view == {"user": "ada"}
    view.clear()
    visit.session = None
    assert view == {}
    assert view.settled() is None
    assert not view.is_emptied


def test_a_draft_that_is_not_settled_is_pending() -> None:
    view = shown(ACCOUNT)
    assert view.pending == set()
    view["user"] = "ada"
    assert view.pending == {"user"}
    view.drop()
    assert view.pending == set()
    view = shown(ACCOUNT, Account(user="ada"))
    view["theme"] = "dark"
    assert view.pending == set()
    del view["user"]
    assert "user" in view.pending


@pytest.mark.parametrize("key", [1, None, ("a",), b"a"])
def test_keys_are_strings(key: Any) -> None:
    view = free()
    with pytest.raises(InvalidArgumentError, match="strings"):
        view[key] = 1
    with pytest.raises(InvalidArgumentError, match="strings"):
        view.update({key: 1})
    assert key not in view
    assert view.get(key) is None


def test_a_class_that_is_not_open_takes_its_fields_alone() -> None:
    view = shown(CART)
    with pytest.raises(InvalidArgumentError, match=r"Cart has no field 'colour'.*extra=\"allow\""):
        view["colour"] = "red"
    with pytest.raises(InvalidArgumentError, match="colour"):
        shown(CART, Cart())["colour"] = "red"


def test_what_is_not_stored_cannot_be_set() -> None:
    class Partly(SessionModel, schema="web.view.partly", extra="allow"):
        hidden: Annotated[int, Field(exclude=True)] = 0

    view = shown(ViewedClass(Partly), Partly(hidden=1))
    assert view == {}
    for key in ("hidden", RESERVED_KEY):
        with pytest.raises(InvalidArgumentError, match="not stored"):
            view[key] = 1


def test_a_frozen_field_stays_as_it_is() -> None:
    class Fixed(SessionModel, schema="web.view.fixed"):
        user: Annotated[str, Field(frozen=True)] = ""

    view = shown(ViewedClass(Fixed), Fixed(user="ada"))
    with pytest.raises(ValidationError, match="frozen"):
        view["user"] = "eve"
    assert view == {"user": "ada"}


def test_names_of_the_model_itself_are_keys_like_others() -> None:
    names = ["tkn", "is_saved", "copy", "model_dump", "model_fields_set", "__class__", "_private", "__dict__", ""]
    view = shown(FREE)
    view.update(dict.fromkeys(names, 1))
    settled = view.settled()
    assert settled is not None
    assert shown(FREE, settled) == dict.fromkeys(names, 1)
    view = free(a=1)
    view.update(dict.fromkeys(names, 1))
    assert view == {"a": 1, **dict.fromkeys(names, 1)}


async def test_any_extra_key_comes_back_from_the_store(client: NdbClient) -> None:
    values = {
        "_state_google_x": {"data": {"nonce": "n"}, "exp": 1.5},
        "tkn": 1,
        "with space.and:colon": None,
        "ключ": [],
    }
    view = shown(FREE)
    view.update(values)
    assert shown(FREE, await stored(client, view, Free)) == values


async def test_values_of_extra_keys_come_back_as_from_a_cookie(client: NdbClient) -> None:
    class Word(str):
        __slots__ = ()

    view = shown(FREE)
    view["messages"] = [("info", Word("hi"))]
    view["counts"] = {7: 2, None: 3, True: (4,)}
    view["ordered"] = OrderedDict(a=1)
    expected = json.loads(json.dumps({**view}))
    assert await stored(client, view, Free) == Free.model_validate(expected)


async def test_values_that_are_no_json_are_refused_by_name(client: NdbClient) -> None:
    for value in (datetime.now(UTC), {1, 2}, b"\xff", object(), float("nan")):
        view = shown(FREE)
        view["moment"] = {"at": value}
        with pytest.raises(UnstorableError, match="moment"):
            await stored(client, view, Free)


async def test_values_of_a_declared_type_keep_it(client: NdbClient) -> None:
    class Moments(SessionModel, schema="web.view.moments", extra="allow"):
        __pydantic_extra__: dict[str, tuple[int, ...]]
        last: datetime | None = None

    view, now = shown(ViewedClass(Moments)), datetime(2024, 5, 1, tzinfo=UTC)
    view["last"] = now
    view["other"] = (1, 2)
    session = await stored(client, view, Moments)
    view = shown(ViewedClass(Moments), session)
    assert view == {"last": now, "other": (1, 2)}
    view["other"] = (3,)
    assert shown(ViewedClass(Moments), await stored(client, view, Moments)) == {"last": now, "other": (3,)}


def test_it_works_where_code_looks_into_the_dict_itself() -> None:
    view = free(a=1)
    model = view.settled()
    view["b"] = {"c": [2]}
    expected = {"a": 1, "b": {"c": [2]}}
    assert json.loads(json.dumps(view)) == json.loads(json.dumps(view, indent=1)) == expected
    assert dict(view) == {**view} == view.copy() == copy.copy(view) == copy.deepcopy(view) == expected
    assert type(view.copy()) is type(copy.deepcopy(view)) is type(pickle.loads(pickle.dumps(view))) is dict
    assert Free.model_validate(view) == model
    assert isinstance(view, dict)
    assert repr(view) == repr(expected)
    assert view | {"d": 1} == {"d": 1} | view == {**expected, "d": 1}
    assert [*reversed(view)] == ["b", "a"]
    assert view == expected
    assert not view != expected  # noqa: SIM202 - the operator is tested
    with pytest.raises(TypeError):
        hash(view)


def test_it_can_be_changed_in_a_loop_over_it() -> None:
    view = free(a=1, b=2, c=3)
    for key in view:
        view[key] += 1
    assert view == {"a": 2, "b": 3, "c": 4}
    for key in [*view]:
        if key != "b":
            view.pop(key)
    assert view == {"b": 3}


def test_uses_and_changes_set_the_flags_that_starlette_has() -> None:
    view = free(a=1)
    assert (view.accessed, view.modified) == (False, False)
    view.mark_accessed()
    assert (view.accessed, view.modified) == (True, False)
    view.pop("missing", None)
    view.setdefault("a", 2)
    assert not view.modified
    view["a"] = 2
    assert view.modified


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS: Final = st.sampled_from(["a", "b", "user", "theme"])
DICTS: Final = st.dictionaries(KEYS, JSON, max_size=3)
OPERATIONS: Final = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["__setitem__", "setdefault", "pop", "get"]), st.tuples(KEYS, JSON)),
        st.tuples(st.sampled_from(["__getitem__", "__delitem__", "pop", "__contains__", "get"]), st.tuples(KEYS)),
        st.tuples(st.sampled_from(["update", "__ior__", "__or__", "__ror__", "__eq__"]), st.tuples(DICTS)),
        st.tuples(st.sampled_from(["popitem", "clear", "copy", "__len__", "__iter__"]), st.just(())),
    ),
    max_size=12,
)


def outcome(act: Callable[..., Any], arguments: tuple[Any, ...]) -> object:
    try:
        result = act(*copy.deepcopy(arguments))
    except KeyError as exc:
        return type(exc)
    return [*result] if hasattr(result, "__next__") else dict(result) if isinstance(result, dict) else result


@given(DICTS | st.none(), OPERATIONS)
def test_an_open_session_does_what_starlettes_does(
    start: dict[str, Any] | None, operations: list[tuple[str, tuple[Any, ...]]]
) -> None:
    view = shown(FREE) if start is None else free(**copy.deepcopy(start))
    cookie = Session(copy.deepcopy(start or {}))
    for name, arguments in operations:
        assert outcome(getattr(view, name), arguments) == outcome(getattr(cookie, name), arguments), name
        assert [*view.items()] == [*cookie.items()]
    settled = view.settled()
    assert (settled is None) == (start is None and not cookie)
    if settled is not None:
        assert settled == Free.model_validate(cookie)
        assert not view.is_emptied or (cookie.modified and not cookie)
        assert view.is_emptied or not start or cookie

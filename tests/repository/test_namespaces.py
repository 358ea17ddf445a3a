"""Applications in namespaces of one store never see each other's sessions, whatever their classes are called."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from ndb_models import (
    DuplicateError,
    InvalidArgumentError,
    Lookup,
    NdbClient,
    Repository,
    SessionModel,
    WrongSchemaError,
)


def declared(module: str) -> Any:
    """Return a class of the same name in some module."""

    class Member(SessionModel):
        email: Annotated[str, Lookup(unique=True)]
        group: Annotated[str, Lookup()] = "all"

    Member.__module__ = module
    return Member


async def test_classes_of_one_name_have_sessions_of_their_own(client: NdbClient) -> None:
    shop, blog = declared("shop.models"), declared("blog.models")
    shops, blogs = Repository(client, shop, namespace="shop"), Repository(client, blog, namespace="blog")
    bought, read = await shops.save(shop(email="b@example.org")), await blogs.save(blog(email="b@example.org"))
    with pytest.raises(WrongSchemaError, match=r"schema 'Member' in the namespace 'shop'") as caught:
        await blogs.get(bought.tkn)
    assert (caught.value.stored, caught.value.namespace) == ("Member", "shop")
    assert not await shops.exists(read.tkn)
    assert await shops.find(group="all") == [bought]
    assert await blogs.find_one(email="b@example.org") == read
    with pytest.raises(DuplicateError):
        await shops.save(shop(email="b@example.org"))
    assert await shops.end_all_for(group="all") == 1
    assert await blogs.get(read.tkn) == read


async def test_a_session_from_before_is_read_where_no_namespace_is_named(client: NdbClient) -> None:
    member = declared("namespaces.before")
    plain, shops = Repository(client, member), Repository(client, member, namespace="shop")
    before = await plain.save(member(email="a"))
    with pytest.raises(WrongSchemaError, match=r"schema 'Member'; use") as caught:
        await shops.get(before.tkn)
    assert caught.value.namespace is None
    inside = await shops.save(member(email="a"))
    with pytest.raises(WrongSchemaError):
        await plain.get(inside.tkn)
    assert await plain.find(group="all") == [before]


async def test_verbs_stay_in_their_namespace(client: NdbClient) -> None:
    member = declared("namespaces.verbs")
    shops = Repository(client, member, namespace="shop")
    session = await shops.save(member(email="a"))
    session = await shops.rotate(session)
    session.group = "other"
    await shops.save(session)
    async with shops.edit(session.tkn) as edited:
        edited.email = "b"
    assert [each.email for each in await shops.find(group="other")] == ["b"]
    reindexed = await shops.reindex([session.tkn])
    assert not reindexed.problems
    assert await Repository(client, member).find(group="other") == []


@pytest.mark.parametrize("namespace", ["", "a\nb", "a\x1fb", 5, b"shop"])
def test_what_is_no_namespace_is_refused(client: NdbClient, namespace: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="printable"):
        Repository(client, declared("namespaces.wrong"), namespace=namespace)


async def test_a_list_of_sessions_is_of_one_namespace(client: NdbClient) -> None:
    member = declared("namespaces.listed")
    plain, shops = Repository(client, member), Repository(client, member, namespace="shop")
    before, inside = await plain.save(member(email="a")), await shops.save(member(email="b"))
    assert [each async for each in plain.sessions()] == [before]
    assert [each async for each in shops.sessions()] == [inside]

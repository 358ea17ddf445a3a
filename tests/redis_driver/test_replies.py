"""What the errors and answers of servers mean, without a server."""

from __future__ import annotations

import pytest

from ndb_models.errors import StoreFullError
from ndb_models.stores.redis.replies import Reaction, understood
from ndb_models.stores.redis.slot_map import Address, moved_to, parse_slot_map, slot_of

ASKED = Address("10.0.0.1", 7000)


@pytest.mark.parametrize(
    ("text", "reaction"),
    [
        ("MOVED 3999 127.0.0.1:6381", Reaction.MOVED),
        ("ASK 3999 127.0.0.1:6381", Reaction.ASK),
        ("NOSCRIPT No matching script. Please use EVAL.", Reaction.LOAD),
        ("READONLY You can't write against a read only replica.", Reaction.ELSEWHERE),
        ("CLUSTERDOWN The cluster is down", Reaction.ELSEWHERE),
        ("TRYAGAIN Multiple keys request during rehashing of slot", Reaction.UNSTEADY),
        ("LOADING Redis is loading the dataset in memory", Reaction.LATER),
        ("OOM command not allowed when used memory > 'maxmemory'.", Reaction.REFUSED),
        ("ERR user_script:1: something", Reaction.FAILED),
    ],
)
def test_the_code_of_an_error_decides_what_follows(text: str, reaction: Reaction) -> None:
    assert understood(text).reaction is reaction


def test_an_error_that_a_script_wraps_is_found() -> None:
    wrapped = "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write"
    assert understood(wrapped).reaction is Reaction.ELSEWHERE
    full = "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed"
    assert understood(full).kind is StoreFullError


@pytest.mark.parametrize("text", ["ERR unknown command 'secret', with args", "secret", "SECRET1 x", "", "é x"])
def test_no_text_of_an_error_is_shown(text: str) -> None:
    assert "secret" not in understood(text).reason.lower()


def test_a_redirection_without_a_host_leads_to_the_host_that_was_asked() -> None:
    assert moved_to("127.0.0.1:6381", ASKED) == Address("127.0.0.1", 6381)
    assert moved_to(":6381", ASKED) == Address("10.0.0.1", 6381)
    assert moved_to("[::1]:6381", ASKED) == moved_to("::1:6381", ASKED) == Address("::1", 6381)
    assert moved_to("nonsense", ASKED) is None


def test_a_slot_map_names_the_master_of_each_slot_and_the_replicas() -> None:
    slots = [
        [0, 1, [b"10.0.0.2", 7001, b"id"], [b"10.0.0.3", 7002, b"id"]],
        [3, 3, [b"", 7003, b"id"]],
        [4, 4, [None, 7004, b"id"]],
    ]
    found = parse_slot_map(slots, b"cluster_state:ok\r\ncluster_current_epoch:7\r\n", ASKED)
    assert found.masters == {
        0: Address("10.0.0.2", 7001),
        1: Address("10.0.0.2", 7001),
        3: Address("10.0.0.1", 7003),
        4: Address("10.0.0.1", 7004),
    }
    assert found.others == {Address("10.0.0.3", 7002)}
    assert found.epoch == 7


def test_only_a_tag_in_braces_counts_for_the_slot() -> None:
    assert slot_of(b"123456789") == 12739  # the example of the specification
    assert slot_of(b"a{tag}b") == slot_of(b"tag") == slot_of(b"{tag}{other}")
    assert slot_of(b"{}tag") != slot_of(b"tag")
    assert slot_of(b"{tag") != slot_of(b"tag")

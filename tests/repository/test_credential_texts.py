"""A credential as text: one spelling each, never an error for a text, and no other way to the text."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import logging
import pickle
import random
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from ndb_models import Credential, InvalidArgumentError, NdbClient, NotCopyableError, Repository
from tests.leaks import leaks_of
from tests.repository.models import User

SECRET = b"this is a secret of 32 bytes".ljust(32, b"!")
CREDENTIAL = Credential(16204359010587816757, SECRET)
TEXT = str(CREDENTIAL)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STRANGE = "+/=. \n\t\0\u00a0\u0660\uff10\ud800é%\"'"


def mutated(text: str, other: str, chance: random.Random) -> str:
    """Return another text: changed at some places, cut, joined, with parts swapped, or spelt in another way."""
    at, to = sorted(chance.sample(range(len(text) + 1), 2))
    strange = chance.choice(STRANGE)
    return chance.choice(
        [
            text[:at] + chance.choice(ALPHABET) + text[at + 1 :],
            text[:at] + strange + text[at + 1 :],
            text[:at] + strange + text[at:],
            text[:at],
            text[at:],
            text[:at] + text[to:],
            text[:at] + other[at:],
            text[at:] + text[:at],
            text[::-1],
            text.swapcase(),
            text[:at] + text[at:to][::-1] + text[to:],
            text + chance.choice(["=", "==", "A", text]),
            text[:-1] + chance.choice(ALPHABET),
            "".join(chance.choices(ALPHABET, k=len(text))),
        ]
    )


def test_the_text_is_read_again() -> None:
    read = Credential.parse(TEXT)
    assert read == CREDENTIAL
    assert hash(read) == hash(CREDENTIAL)
    assert read is not None
    assert (read.tkn, read.digest) == (CREDENTIAL.tkn, CREDENTIAL.digest)
    assert len(TEXT) == 54
    assert set(TEXT) <= set(ALPHABET)


def test_the_digest_is_the_secrets_sha_256() -> None:
    assert urlsafe_b64decode(CREDENTIAL.digest + "=") == hashlib.sha256(SECRET).digest()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        7,
        TEXT.encode(),
        TEXT[:-1],
        TEXT + "=",
        TEXT + "==",
        TEXT[:-1] + "=",
        f" {TEXT}",
        f"{TEXT[:-1]}\n",
        "+" * 54,
        "." * 54,
        "\uff10" * 54,
        "\u0660" * 54,
        "\ud800" * 54,
        "=" * 54,
        urlsafe_b64encode(CREDENTIAL.tkn.to_bytes(8)).decode(),
    ],
)
def test_any_other_text_is_none(text: Any) -> None:
    assert Credential.parse(text) is None


def test_bits_that_are_left_over_must_be_zero() -> None:
    at = ALPHABET.index(TEXT[-1])
    assert at % 16 == 0
    spellings = [TEXT[:-1] + ALPHABET[at + number] for number in range(16)]
    assert [Credential.parse(text) for text in spellings] == [CREDENTIAL, *[None] * 15]


def test_a_huge_text_is_answered_by_its_length_alone() -> None:
    huge = "A" * 100_000_000
    started = time.process_time()
    assert Credential.parse(huge) is None
    assert time.process_time() - started < 0.05


async def test_of_ten_thousand_wrong_texts_none_opens_a_session_and_none_raises() -> None:
    chance = random.Random(7)
    async with NdbClient.connect("memory://") as client:
        repo = Repository(client, User)
        sessions = [await repo.save(User(username=f"{number}")) for number in range(4)]
        texts = [str(await repo.issue(session)) for session in sessions]
        tried = 0
        while tried < 10_000:
            text, other = chance.sample(texts, 2)
            wrong = mutated(text, other, chance)
            if wrong not in texts:
                tried += 1
                assert await repo.authenticate(wrong) is None
        assert [await repo.authenticate(text) for text in texts] == sessions


@pytest.mark.parametrize(("tkn", "secret"), [(-1, SECRET), (2**64, SECRET), (True, SECRET), ("7", SECRET)])
def test_a_token_is_64_bits(tkn: Any, secret: bytes) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Credential(tkn, secret)
    assert not leaks_of(caught.value, secret.decode())


@pytest.mark.parametrize("secret", [b"", SECRET[:-1], SECRET + b"x", SECRET.decode(), None])
def test_a_secret_is_32_bytes(secret: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Credential(7, secret)
    assert not leaks_of(caught.value, SECRET.decode()[:-1])


def test_equal_are_those_of_one_token_and_one_secret() -> None:
    assert Credential(CREDENTIAL.tkn, bytes(SECRET)) == CREDENTIAL
    assert Credential(7, SECRET) != CREDENTIAL
    assert Credential(CREDENTIAL.tkn, SECRET[::-1]) != CREDENTIAL
    assert CREDENTIAL != TEXT


class Holder(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    credential: Credential


class Texts(BaseModel):
    text: str


@dataclasses.dataclass
class Record:
    credential: Credential


def shows_the_secret(shown: str) -> bool:
    return TEXT in shown or TEXT[11:] in shown or SECRET.decode() in shown or f"{CREDENTIAL.tkn}" in shown


def test_nothing_but_str_shows_the_text(caplog: pytest.LogCaptureFixture) -> None:
    holders = [CREDENTIAL, [CREDENTIAL], {"c": CREDENTIAL}, Holder(credential=CREDENTIAL), Record(CREDENTIAL)]
    for holder in holders:
        assert not shows_the_secret(repr(holder))
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").debug("%r %s", CREDENTIAL, holders[1:])
    assert not shows_the_secret(caplog.text)
    assert not shows_the_secret(repr(Holder(credential=CREDENTIAL).model_dump()))
    encoders: list[Callable[[], object]] = [
        lambda: json.dumps(CREDENTIAL),
        lambda: msgspec.json.encode(CREDENTIAL),
        lambda: msgspec.to_builtins(CREDENTIAL),
        Holder(credential=CREDENTIAL).model_dump_json,
    ]
    for encode in encoders:
        with pytest.raises((TypeError, ValueError)) as caught:
            encode()
        assert not shows_the_secret(f"{caught.value} {caught.value!r}")
    with pytest.raises(ValidationError) as refused:
        Texts(text=CREDENTIAL)  # type: ignore[arg-type]  # the mistake that is meant
    assert not shows_the_secret(str(refused.value))


@pytest.mark.parametrize("spec", ["", "s", ">80"])
def test_a_credential_is_not_formatted_by_accident(spec: str) -> None:
    with pytest.raises(InvalidArgumentError, match="str") as caught:
        format(CREDENTIAL, spec)
    assert not shows_the_secret(str(caught.value))
    assert f"{CREDENTIAL!s}" == TEXT


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_credential_is_not_copied_or_pickled(make: Any) -> None:
    with pytest.raises(NotCopyableError) as caught:
        make(CREDENTIAL)
    assert not shows_the_secret(str(caught.value))

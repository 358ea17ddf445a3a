"""JSON objects as text. They are split into their members' texts only on demand, and joined again.

A model's encoding, a frame's content and a store's entry are mostly the same text, with all members together. A leaf:
it does not import from this package.
"""

from __future__ import annotations

import re
from abc import ABCMeta
from collections.abc import Generator, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate, islice
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

NO_MEMBERS: Final = b"{}"

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""The errors of decoding a text that is no JSON, has the wrong type, or is nested too deep."""


class _StructMapping(msgspec.StructMeta, ABCMeta):
    """The metaclass of a struct that is a mapping."""


class ObjectText(msgspec.Struct, Mapping[str, bytes], metaclass=_StructMapping, gc=False, eq=False):
    """A JSON object as its text, and as a mapping from member names to member texts.

    A store may hold millions. They are structs that the garbage collector skips: they cannot be part of a cycle.

    Args:
        text: a valid JSON object. It has no repeated names if a store is to keep it.
        known_names: the names of its members in their order, if known. Use `names`, unless a call costs too much.
    """

    text: bytes
    known_names: tuple[str, ...] | None = None
    _raw: dict[str, msgspec.Raw] | None = None

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == other if isinstance(other, Mapping) else NotImplemented

    @classmethod
    def joined(cls, members: Mapping[str, bytes]) -> ObjectText:
        """Return the object with the given names and texts. An `ObjectText` is returned as it is."""
        return members if type(members) is cls else cls(join_members(members), tuple(members))

    @classmethod
    def to_keep(cls, members: Mapping[str, bytes]) -> ObjectText:
        """Work as `joined`, and take as little memory as possible. A store may keep millions of such objects."""
        return (
            members if type(members) is cls else cls(bytes(memoryview(join_members(members))), _shared(tuple(members)))
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in their order."""
        if self.known_names is None:
            self.known_names = names_in(self.text)
        return self.known_names

    def share_names(self, names: tuple[str, ...]) -> None:
        """Replace the tuple of names by this equal one. Many objects of a kind then share one tuple, to save memory."""
        self.known_names = names

    def with_last(self, name: str, text: bytes) -> ObjectText:
        """Return the object with one more member. Its name must be new and need no escaping."""
        names = self.names
        text = b'%b%b"%b":%b}' % (self.text[:-1], b"," if names else b"", name.encode(), text)
        return ObjectText(text, and_last(names, name))

    def chosen(self, names: tuple[str, ...]) -> ObjectText:
        """Return an object of the named members, in the order of `names`. Missing members are left out."""
        if not names:
            return NO_KEYS
        if len(names) == 1 and self.known_names and names[0] == self.known_names[-1]:
            last = _last_member(self.text, names[0])
            if last is not None:
                return ObjectText(last, names)
        members = _split(self.text)
        found = {name: members[name] for name in names if name in members}
        return ObjectText(_encode(found), tuple(found))

    def updated(self, members: Mapping[str, bytes], texts: dict[str, msgspec.Raw] | None = None) -> ObjectText:
        """Return the object with these members: in place of those with the same names, the others at the end.

        `texts` are the members of this object, if it was split already. They are used up.
        """
        old = self.known_names or self.names
        texts = _split(self.text) if texts is None else texts
        if type(members) is ObjectText:
            texts.update(_split(members.text))
        else:
            texts.update({name: msgspec.Raw(text) for name, text in members.items()})
        # A copy: the encoder's own result takes half as much memory again as its size, and a store keeps the text.
        text = b"".join((_encode(texts), b""))
        return ObjectText(text, old if len(texts) == len(old) else _shared(tuple(texts)))

    @property
    def raw(self) -> dict[str, msgspec.Raw]:
        """Views of the members' texts, made once; do not change the dict. The errors in `UNREADABLE` are raised."""
        if self._raw is None:
            self._raw = _split(self.text)
        return self._raw

    def split(self) -> dict[str, bytes]:
        """Return the members' texts, as a new dict."""
        return split_members(self.text)

    def __getitem__(self, name: str) -> bytes:
        return bytes(self.raw[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<ObjectText of {len(self.text)} bytes>"


NO_KEYS: Final = ObjectText(NO_MEMBERS, ())
"""An object without members."""


# There may be millions of objects, but of a few kinds. Objects of a kind share the tuple of their names.
@lru_cache(maxsize=256)
def and_last(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return names with one more at the end. Equal calls share one tuple."""
    return (*names, name)


# Larger objects, and objects of more members, do not share their names. The cache would keep even long names in memory,
# and the memory around them could not be returned to the system.
_OF_A_KIND: Final = 16 * 1024
_MANY: Final = 4096
_MEMBERS_OF_A_KIND: Final = 128


def _kind(names: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Return the names, and the bytes around the values in the shortest text of an object with these names."""
    return names, sum(map(len, names)) + 4 * len(names) + 1


_shared_kind: Final = lru_cache(maxsize=256)(_kind)


def _shared(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return equal names that other objects have already, if they are few."""
    return _shared_kind(names)[0] if len(names) <= _MEMBERS_OF_A_KIND else names


def _is_of_a_kind(text: bytes | msgspec.Raw, members: Mapping[str, object]) -> bool:
    return len(text) <= _OF_A_KIND and len(members) <= _MEMBERS_OF_A_KIND


def members_of(text: bytes | msgspec.Raw) -> Mapping[str, bytes]:
    """Return the members' texts of a valid JSON object. The last member of a repeated name counts.

    The result is an `ObjectText` if the text is the shortest possible: no spaces between members, no escapes in names
    and no repeated names. Otherwise the text is longer than its members with their quotes, colons and commas.
    """
    members = _split(text)
    if len(members) > _MANY:  # split at once: with so many members one text is of no use
        return {name: bytes(value) for name, value in members.items()}
    return _in_one_or_many(text, members)


def taking_apart(text: bytes | msgspec.Raw) -> Generator[None, None, Mapping[str, bytes]]:
    """Work as `members_of`, and yield where work on a large text may be interrupted."""
    members = _split(text)
    yield
    if len(members) <= _MANY:
        return _in_one_or_many(text, members)
    texts: dict[str, bytes] = {}
    waiting = iter(members.items())
    while batch := dict(islice(waiting, _MANY)):
        texts.update({name: bytes(value) for name, value in batch.items()})
        yield
    return texts


def _in_one_or_many(text: bytes | msgspec.Raw, members: Mapping[str, msgspec.Raw]) -> Mapping[str, bytes]:
    size = len(text)
    names, around = (_shared_kind if _is_of_a_kind(text, members) else _kind)(tuple(members))
    if names and sum(map(len, members.values()), around) == size:
        return ObjectText(bytes(text), names)
    return {name: bytes(value) for name, value in members.items()}


def members_as_decoded(text: bytes, decoded: Mapping[str, object]) -> Mapping[str, bytes]:
    """Return the same as `members_of` for a text that has been decoded. A text equal to its encoding is not split."""
    try:
        if decoded and _encode(decoded) == text:
            names = tuple(decoded)
            if len(text) <= _OF_A_KIND and len(names) <= _MEMBERS_OF_A_KIND:
                names = _shared_kind(names)[0]
            return ObjectText(text, names)
    except (OverflowError, RecursionError):  # an integer over 64 bits; nested too deep for the rest of the stack
        pass
    return members_of(text)


def has_constants(text: bytes) -> bool:
    """Tell whether a text may hold a NaN or an infinity. They are no JSON, but some libraries write and read them."""
    if 0x4E not in text and 0x49 not in text:  # no N and no I; a byte given as a number is found fastest
        return False
    return b"NaN" in text or b"Infinity" in text


# Possessive quantifiers, and strings without an end: so any text is scanned only once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# A part of a text that ends outside any string.
_PART: Final = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+"?){1,2048}+', re.DOTALL)
_BRACKETS: Final = b"[{]}"
_OTHERS: Final = bytes(set(range(256)) - set(_BRACKETS))
# Brackets as signed bytes: one level more, one less.
_LEVELS: Final = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")
_BRACKETS_TOGETHER: Final = 16 * 1024
_FEW_BRACKETS: Final = 512


def is_nested_deeper(text: bytes, levels: int) -> bool:
    """Tell whether arrays and objects in a JSON text are nested deeper than `levels`.

    Call this before parsing wherever a limit must hold. The parser's own limit varies: from about 1,000 levels (Python
    3.11) to 10,000 (3.13), and with the depth of the caller's stack.
    """
    # Most texts are too short to need a scan.
    return len(text) > 2 * levels and finished(nesting_exceeds(text, levels))


def nesting_exceeds(text: bytes, levels: int) -> Generator[None, None, bool]:
    """Work as `is_nested_deeper`, and yield where work on a large text may be interrupted."""
    return _may_exceed(text, levels) and (yield from _exceeds(text, levels, len(text)))


def containers_exceed(text: bytes, most: int) -> Generator[None, None, bool]:
    """Tell whether a JSON text holds more than `most` arrays and objects; yield as `nesting_exceeds` does."""
    return _may_exceed(text, most) and (yield from _exceeds(text, len(text), most))


def _may_exceed(text: bytes, most: int) -> bool:
    """Return False for a text with no more than `most` opening brackets. A few are found faster than counted."""
    left = min(most, _FEW_BRACKETS)
    for bracket in b"[{":
        at = text.find(bracket)
        while at >= 0 <= left:
            left -= 1
            at = text.find(bracket, at + 1)
    return left < 0 and (most <= _FEW_BRACKETS or text.count(b"[") + text.count(b"{") > most)


def _exceeds(text: bytes, levels: int, containers: int) -> Generator[None, None, bool]:
    depth = start = 0
    while part := _PART.match(text, start):
        start = part.end()
        brackets = _STRING.sub(b"", part[0]).translate(_LEVELS, _OTHERS)
        containers -= brackets.count(1)
        yield
        for first in range(0, len(brackets), _BRACKETS_TOGETHER):
            together = memoryview(brackets)[first : first + _BRACKETS_TOGETHER].cast("b")
            depths = list(accumulate(together, initial=depth))
            if max(depths) > levels:
                return True
            depth = depths[-1]
            yield
    return containers < 0


def finished(work: Generator[None, None, T]) -> T:
    """Run interruptible work to its end without a break. Return its outcome."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            outcome: T = done.value
            return outcome


def names_in(text: bytes) -> tuple[str, ...]:
    """Return the names of a JSON object's members.

    Raises:
        The errors in `UNREADABLE`: the text is not a JSON object.
    """
    return tuple(_split(text))


raw_members: Final = _split
"""Returns views of a JSON object's members: quicker, but they keep the whole text alive. Raises as `names_in`."""

join_raw_members: Final = _encode
"""Returns the JSON object with the given names and views."""


def split_members(text: bytes) -> dict[str, bytes]:
    """Return the texts of a JSON object's members. Raises as `names_in`."""
    return {name: bytes(value) for name, value in _split(text).items()}


def join_members(members: Mapping[str, bytes]) -> bytes:
    """Return the JSON object with the given names and texts."""
    return _encode({name: msgspec.Raw(text) for name, text in members.items()})


_decode_any: Final = msgspec.json.Decoder(msgspec.Raw).decode


def _last_member(text: bytes, name: str) -> bytes | None:
    """Return an object of the last member of a valid JSON object, which has this name; None if it is not found.

    A large object is not split for one small member.
    """
    start = _start_of(name)
    found = text.rfind(start)
    if found <= 0:
        return None
    try:
        _decode_any(text[found + len(start) : -1])
    except msgspec.DecodeError:  # it was found in a nested object
        return None
    return b"{" + text[found + 1 :]


@lru_cache(maxsize=256)
def _start_of(name: str) -> bytes:
    """Return the text before the value of a member that is not the first."""
    return b',"%b":' % name.encode()


def before_last(text: bytes, start: bytes) -> tuple[bytes, bytes] | None:
    """Return a valid JSON object without its last member, and that member's text. Return None without a match.

    `start` is the beginning of the member: a comma, its name in quotes, a colon. The text after it is not checked. The
    caller must check that it is one JSON value; only then is it the member. A match in a valid object lies in no
    string, since the first quote of the name would end that string. Nor does it lie in a nested object, since the rest
    after the value closes the outer object only.
    """
    before, found, last = text.rpartition(start)
    return (before + b"}", last[:-1]) if found and len(before) > 1 else None

"""JSON objects as text: taken apart into their members' texts only where somebody asks, and put together again.

What a model is written as, what a frame carries and what a store keeps is mostly one and the same text, all its members
together. A leaf: it imports nothing of this package.
"""

from __future__ import annotations

import re
from abc import ABCMeta
from collections.abc import Generator, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate, islice
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

NO_MEMBERS: Final = b"{}"

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises of a text that is no JSON, not of the type that is asked for, or nested too deep."""


class _StructMapping(msgspec.StructMeta, ABCMeta):
    """The metaclass of a struct that is a mapping."""


class ObjectText(msgspec.Struct, Mapping[str, bytes], metaclass=_StructMapping, gc=False, eq=False):
    """A JSON object as its text, and as a mapping of its members' texts by their names.

    A store may hold millions. They are structs that the collector of garbage passes over: nothing leads back to them.

    Args:
        text: a valid JSON object; where a store is to keep it, without repeated names.
        names: those of its members in their order, where they are known.
    """

    text: bytes
    _names: tuple[str, ...] | None = None
    _members: dict[str, bytes] | None = None

    def __eq__(self, other: object) -> bool:
        return dict(self.items()) == other if isinstance(other, Mapping) else NotImplemented

    @classmethod
    def joined(cls, members: Mapping[str, bytes]) -> ObjectText:
        """Return the object of these names and texts: as it is where it is one already."""
        return members if type(members) is cls else cls(join_members(members), tuple(members))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the members, in their order."""
        if self._names is None:
            self._names = names_in(self.text)
        return self._names

    def share_names(self, names: tuple[str, ...]) -> None:
        """Hold this tuple of the names, which is equal, instead of one of its own: less memory for many of a kind."""
        self._names = names

    def with_last(self, name: str, text: bytes) -> ObjectText:
        """Return the object with one member more, of a name that needs no escaping and is not there yet."""
        names = self.names
        text = b'%b%b"%b":%b}' % (self.text[:-1], b"," if names else b"", name.encode(), text)
        return ObjectText(text, and_last(names, name))

    def chosen(self, names: Iterable[str]) -> ObjectText:
        """Return the object of the members of these names, in their order; those that are missing are left out."""
        members = _split(self.text)
        found = {name: members[name] for name in names if name in members}
        return ObjectText(_encode(found), tuple(found))

    def split(self) -> dict[str, bytes]:
        """Return the members' texts, as a dict of its own."""
        return split_members(self.text)

    def __getitem__(self, name: str) -> bytes:
        if self._members is None:
            self._members = self.split()
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<ObjectText of {len(self.text)} bytes>"


# There may be millions of objects, but of a few kinds: those of a kind share the tuple of their names.
@lru_cache(maxsize=256)
def and_last(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Return names with one more at the end, as a tuple that all who ask for the same share."""
    return (*names, name)


# Larger objects, and those of more members, share nothing: their names would stay in memory, however long they are, and
# keep what lies between them from being given back.
_OF_A_KIND: Final = 16 * 1024
_MANY: Final = 4096
_MEMBERS_OF_A_KIND: Final = 128


def _kind(names: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """Return the names, and how many bytes are around the values in the shortest text of an object with these."""
    return names, sum(map(len, names)) + 4 * len(names) + 1


_shared_kind: Final = lru_cache(maxsize=256)(_kind)


def _is_of_a_kind(text: bytes | msgspec.Raw, members: Mapping[str, object]) -> bool:
    return len(text) <= _OF_A_KIND and len(members) <= _MEMBERS_OF_A_KIND


def members_of(text: bytes | msgspec.Raw) -> Mapping[str, bytes]:
    """Return the members' texts of a valid JSON object, of those of one name the last: as one text if it can stay one.

    It can if its text is the shortest that there is: without spaces between, escapes in names, and repeated names. All
    of these make it longer than its members, with their quotes, colons and commas, are together.
    """
    members = _split(text)
    if len(members) > _MANY:  # it is taken apart at once: nobody wants so many as one text
        return {name: bytes(value) for name, value in members.items()}
    return _in_one_or_many(text, members)


def taking_apart(text: bytes | msgspec.Raw) -> Generator[None, None, Mapping[str, bytes]]:
    """Do what `members_of` does, and yield wherever a large text may be left for a moment."""
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
    """Return what `members_of` does, of a text that has been decoded: at once if it is just what encoding it gives."""
    try:
        if decoded and _encode(decoded) == text:
            names = tuple(decoded)
            if len(text) <= _OF_A_KIND and len(names) <= _MEMBERS_OF_A_KIND:
                names = _shared_kind(names)[0]
            return ObjectText(text, names)
    except (OverflowError, RecursionError):  # an integer of more than 64 bits; nested too deep for what is on the stack
        pass
    return members_of(text)


_N: Final = ord("N")
_I: Final = ord("I")


def has_constants(text: bytes) -> bool:
    """Tell whether there may be a NaN or an infinity in a text: no JSON, but written and read by some as if it were."""
    if _N not in text and _I not in text:  # a tenth of the time of looking for words
        return False
    return b"NaN" in text or b"Infinity" in text


# Possessive quantifiers, and a string may lack its end: any text is scanned once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# A part of a text that ends outside of strings.
_PART: Final = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+"?){1,2048}+', re.DOTALL)
_BRACKETS: Final = b"[{]}"
_OTHERS: Final = bytes(set(range(256)) - set(_BRACKETS))
# Brackets as signed bytes: one level more, one less.
_LEVELS: Final = bytes.maketrans(_BRACKETS, b"\x01\x01\xff\xff")
_BRACKETS_TOGETHER: Final = 16 * 1024


def is_nested_deeper(text: bytes, levels: int) -> bool:
    """Tell whether arrays and objects are nested deeper than this in a JSON text.

    Ask this first where a limit must hold. The limits of parsers are no help: they differ from one version of Python to
    the next, from about 1,000 levels (3.11) to 10,000 (3.13), and with the depth of the caller's own stack.
    """
    # Most texts are too short to be looked at at all.
    return len(text) > 2 * levels and finished(nesting_exceeds(text, levels))


def _may_be_nested_deeper(text: bytes, levels: int) -> bool:
    """Most texts are too short, or have too few brackets, to be looked at closely."""
    return len(text) > 2 * levels and text.count(b"[") + text.count(b"{") > levels


def nesting_exceeds(text: bytes, levels: int) -> Generator[None, None, bool]:
    """Do what `is_nested_deeper` does, and yield wherever a large text may be left for a moment."""
    return _may_be_nested_deeper(text, levels) and (yield from _exceeds(text, levels, len(text)))


def containers_exceed(text: bytes, most: int) -> Generator[None, None, bool]:
    """Tell whether there are more arrays and objects than this in a JSON text; yield as `nesting_exceeds` does."""
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    return (yield from _exceeds(text, len(text), most))


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
    """Carry out work that yields where it may be left, at once; return its outcome."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            outcome: T = done.value
            return outcome


def names_in(text: bytes) -> tuple[str, ...]:
    """Return the names of a JSON object's members.

    Raises:
        Those of `UNREADABLE`: it is not a JSON object.
    """
    return tuple(_split(text))


def raw_members(text: bytes) -> dict[str, msgspec.Raw]:
    """Return views of the members of a JSON object: quicker, and they keep the whole text. Raises as `names_in`."""
    return _split(text)


def split_members(text: bytes) -> dict[str, bytes]:
    """Return the texts of a JSON object's members. Raises as `names_in`."""
    return {name: bytes(value) for name, value in _split(text).items()}


def join_members(members: Mapping[str, bytes]) -> bytes:
    """Return the JSON object of these names and texts."""
    return _encode({name: msgspec.Raw(text) for name, text in members.items()})


def before_last(text: bytes, start: bytes) -> tuple[bytes, bytes] | None:
    """Return a valid JSON object without its last member, and that member's text; None if they do not tell apart so.

    `start` is what the member begins with: a comma, its name, a colon. What follows it is not looked at: only if that
    is one JSON value, which the caller has to see, it is the member. Text that is valid as a whole cannot be inside of
    a string there, since the name's first quote would end it; nor deeper, since the rest ends the object and no more.
    """
    before, found, last = text.rpartition(start)
    return (before + b"}", last[:-1]) if found and len(before) > 1 else None

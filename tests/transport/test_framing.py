"""Frames as this package reads and writes them, against websockets' own serialiser and parser."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from ndb_models.protocol.framing import Breach, FrameReader, MaskedFrameWriter, OtherFrame, text_frame

try:
    from websockets.speedups import apply_mask
except ImportError:  # where websockets was installed without its C extension
    from websockets.utils import apply_mask

MAX_SIZE = 70_000
# On both sides of where the header changes its form.
SIZES = [0, 1, 124, 125, 126, 127, 65_535, 65_536]


def reader(*, masked: bool = False, max_size: int = MAX_SIZE) -> FrameReader:
    return FrameReader(masked=masked, apply_mask=apply_mask, max_size=max_size)


def read(to: FrameReader, data: bytes) -> list[tuple[bool, bytes]]:
    """Feed a stream; return what comes of it, each with whether it is a whole text message."""
    return [taken(part) for part in to.feed(data)]


def taken(part: bytes | Breach) -> tuple[bool, bytes]:
    """Return whether a part is a whole text message, and its bytes; for a breach the code to close with."""
    if isinstance(part, Breach):
        return False, str(part.code).encode()
    return type(part) is not OtherFrame, bytes(part)


REFUSED = (False, b"1002")
TOO_LARGE = (False, b"1009")


def written(opcode: Opcode, data: bytes, *, fin: bool = True, masked: bool = False) -> bytes:
    """Write a frame as websockets does."""
    return Frame(opcode, data, fin=fin).serialize(mask=masked)


def parsed(stream: bytes, *, side: Side = Side.CLIENT) -> list[tuple[Opcode, bytes, bool]]:
    """Read frames as websockets does."""
    protocol = Protocol(side)
    protocol.receive_data(stream)
    assert protocol.state is State.OPEN
    return [
        (event.opcode, bytes(event.data), event.fin) for event in protocol.events_received() if isinstance(event, Frame)
    ]


def fed(to: FrameReader, stream: bytes, cuts: Iterable[int] = ()) -> list[tuple[bool, bytes]]:
    """Feed a stream in pieces, cut at these places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(stream)}), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    return [part for piece in pieces for part in read(to, piece)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_text_message_of_any_length_is_read(size: int, masked: bool) -> None:
    payload = b"x" * size
    assert read(reader(masked=masked), written(Opcode.TEXT, payload, masked=masked)) == [(True, payload)]


@pytest.mark.parametrize("size", SIZES)
def test_a_text_message_of_a_server_is_written_as_websockets_writes_it(size: int) -> None:
    payload = b"x" * size
    assert text_frame(payload) == written(Opcode.TEXT, payload)


@pytest.mark.parametrize("size", SIZES)
def test_a_text_message_of_a_client_is_read_by_websockets(size: int) -> None:
    payload = b"x" * size
    frame = MaskedFrameWriter(apply_mask).text_frames([payload])
    assert len(frame) == len(written(Opcode.TEXT, payload, masked=True))
    assert parsed(frame, side=Side.SERVER) == [(Opcode.TEXT, payload, True)]


def test_each_frame_has_a_mask_of_its_own_that_no_other_writer_has() -> None:
    writers = [MaskedFrameWriter(apply_mask) for _ in range(3)]
    frames = {writer.text_frames([b"0000"]) for writer in writers for _ in "ab"}
    assert len(frames) == 6
    writer = MaskedFrameWriter(apply_mask)
    frame = len(writer.text_frames([b"0000"]))
    together = writer.text_frames([b"0000"] * 2500)
    masks = {together[start + 2 : start + 6] for start in range(0, len(together), frame)}
    masks |= {writer.text_frames([b"0000"])[2:6] for _ in range(2500)}
    # Four random bytes are the same by chance once in a while, but not often.
    assert len(masks) > 4990


def test_what_a_masked_frame_holds_is_not_on_the_wire() -> None:
    payload = b"a value of a session"
    writer = MaskedFrameWriter(apply_mask)
    assert not any(payload in writer.text_frames([payload]) for _ in range(100))


def legal(stream: Iterable[bytes]) -> list[bytes]:
    """Return the frames that may stand where they stand: messages are continued before another begins."""
    allowed: list[bytes] = []
    open_message = False
    for frame in stream:
        opcode = frame[0] & 0x0F
        if opcode >= Opcode.CLOSE or (opcode == Opcode.CONT) is open_message:
            allowed.append(frame)
            if opcode < Opcode.CLOSE:
                open_message = not frame[0] & 0x80
    return allowed


frames = st.one_of(
    st.builds(written, st.just(Opcode.TEXT), st.sampled_from(SIZES).map(lambda size: b"x" * size)),
    st.builds(written, st.just(Opcode.TEXT), st.binary(max_size=200)),
    st.builds(written, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125)),
    st.builds(
        written, st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONT]), st.binary(max_size=200), fin=st.booleans()
    ),
)


def expected(stream: Iterable[bytes]) -> list[tuple[bool, bytes]]:
    """Tell what a reader makes of frames: whole text messages outside of a fragmented one, and all else as it is."""
    parts: list[tuple[bool, bytes]] = []
    fragmented = False
    for frame in stream:
        opcode, final = frame[0] & 0x0F, bool(frame[0] & 0x80)
        header = {126: 4, 127: 10}.get(frame[1], 2)
        whole = opcode == Opcode.TEXT and final and not fragmented
        parts.append((True, frame[header:]) if whole else (False, frame))
        if opcode < Opcode.CLOSE:
            fragmented = not final
    return parts


@settings(deadline=None)
@given(st.lists(frames, max_size=8).map(legal), st.lists(st.integers(0, 70_000), max_size=8))
def test_however_the_stream_is_cut_the_frames_are_the_same(stream: list[bytes], cuts: list[int]) -> None:
    assert fed(reader(), b"".join(stream), cuts) == expected(stream)


@settings(deadline=None)
@given(st.lists(frames, max_size=3).map(b"".join).filter(lambda stream: len(stream) < 1000))
def test_a_stream_that_comes_byte_by_byte_is_read_as_if_it_came_at_once(stream: bytes) -> None:
    assert fed(reader(), stream, range(len(stream))) == read(reader(), stream)


def test_a_frame_is_read_as_soon_as_its_last_byte_is_here_and_not_before() -> None:
    for size in SIZES:
        frame = text_frame(b"x" * size)
        incoming = reader()
        assert read(incoming, frame[:-1]) == []
        assert read(incoming, frame[-1:]) == [(True, b"x" * size)]


def test_control_frames_between_messages_are_handed_on_in_their_place() -> None:
    ping = written(Opcode.PING, b"1")
    close = written(Opcode.CLOSE, b"\x03\xe8")
    assert read(reader(), text_frame(b"a") + ping + text_frame(b"b") + close) == [
        (True, b"a"),
        (False, ping),
        (True, b"b"),
        (False, close),
    ]


def test_a_fragmented_message_is_handed_on_frame_by_frame_with_what_comes_between() -> None:
    stream = [
        written(Opcode.TEXT, b"{", fin=False),
        written(Opcode.PING, b""),
        written(Opcode.CONT, b"}", fin=False),
        written(Opcode.CONT, b"", fin=True),
    ]
    assert read(reader(), b"".join(stream) + text_frame(b"next")) == [
        *((False, frame) for frame in stream),
        (True, b"next"),
    ]


def test_a_binary_message_is_handed_on() -> None:
    frame = written(Opcode.BINARY, b"{}")
    assert read(reader(), frame) == [(False, frame)]


def test_a_whole_text_message_amid_a_fragmented_one_is_not_accepted() -> None:
    first, amid = written(Opcode.TEXT, b"{", fin=False), text_frame(b"{}")
    assert read(reader(), first + amid) == [(False, first), REFUSED]


@pytest.mark.parametrize("masked", [False, True])
def test_a_text_message_that_is_masked_the_wrong_way_is_not_accepted(masked: bool) -> None:
    frame = written(Opcode.TEXT, b"{}", masked=not masked)
    assert read(reader(masked=masked), frame) == [REFUSED]


@pytest.mark.parametrize("bits", [0x40, 0x20, 0x10])
def test_a_text_message_with_an_extension_bit_is_not_accepted(bits: int) -> None:
    frame = bytes([0x81 | bits]) + text_frame(b"{}")[1:]
    assert read(reader(), frame) == [REFUSED]


@pytest.mark.parametrize("size", [100, 126, 65_536])
def test_a_message_of_the_largest_size_is_accepted_and_one_byte_more_is_not(size: int) -> None:
    assert read(reader(max_size=size), text_frame(b"x" * size)) == [(True, b"x" * size)]
    frame = text_frame(b"x" * (size + 1))
    assert read(reader(max_size=size), frame) == [TOO_LARGE]


def test_a_message_that_is_too_large_is_refused_as_soon_as_its_header_is_here() -> None:
    incoming = reader(max_size=100)
    header = text_frame(b"x" * 70_000)[:10]
    assert read(incoming, header[:9]) == []
    assert read(incoming, header[9:]) == [TOO_LARGE]


def test_a_fragmented_message_is_refused_by_the_header_that_makes_it_too_large() -> None:
    incoming = reader(max_size=100)
    first = written(Opcode.TEXT, b"x" * 60, fin=False)
    assert read(incoming, first) == [(False, first)]
    assert read(incoming, written(Opcode.CONT, b"x" * 41)[:2]) == [TOO_LARGE]


BAD_HEADERS = {
    "reserved bits": b"\xc1\x82",
    "reserved bits of a control frame": b"\x99\x80",
    "unknown opcode": b"\x83\x80",
    "unknown control opcode": b"\x8b\x80",
    "no mask": b"\x81\x02",
    "fragmented ping": b"\x09\x80",
    "fragmented close": b"\x08\x80",
    "long ping": b"\x89\xfe",
    "long close": b"\x88\xff",
    "nothing to continue": b"\x80\x80",
    "length not minimal in two bytes": b"\x81\xfe\x00\x7d",
    "length not minimal in eight bytes": b"\x82\xff" + (65535).to_bytes(8),
    "length beyond the limit": b"\x82\xff" + (MAX_SIZE + 1).to_bytes(8),
    "length beyond 63 bits": b"\x81\xff" + b"\xff" * 8,
}


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_a_bad_header_is_refused_at_its_last_byte_and_nothing_behind_it_is_taken(
    header: bytes, byte_by_byte: bool
) -> None:
    incoming = reader(masked=True)
    whole = MaskedFrameWriter(apply_mask).text_frames([b"{}"])
    judged = (
        [TOO_LARGE] if "beyond" in next(name for name, each in BAD_HEADERS.items() if each == header) else [REFUSED]
    )
    assert fed(incoming, whole + header[:-1], range(99) if byte_by_byte else ()) == [(True, b"{}")]
    assert read(incoming, header[-1:]) == judged
    assert read(incoming, whole) == []
    assert not incoming.has_begun


def test_nothing_behind_a_close_frame_is_taken() -> None:
    incoming, close = reader(), written(Opcode.CLOSE, b"\x03\xe8")
    assert read(incoming, close + text_frame(b"{}")) == [(False, close)]
    assert read(incoming, text_frame(b"{}")) == []


@settings(deadline=None)
@given(st.lists(frames, max_size=8).map(legal), st.integers(1, 4), st.integers(0, 3))
def test_taken_few_at_a_time_and_given_back_the_frames_are_the_same(
    stream: list[bytes], most: int, returned: int
) -> None:
    incoming = reader()
    incoming.add(b"".join(stream))
    parts: list[tuple[bool, bytes]] = []
    while incoming.has_parts:
        some = incoming.feed(most=most)
        assert len(some) <= most
        keep = max(1, len(some) - returned)
        parts += map(taken, some[:keep])
        if some[keep:]:
            incoming.give_back(some[keep:])
    assert parts == expected(stream)


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_whatever_a_message_that_is_too_large_holds_none_of_it_is_accepted(cuts: list[int]) -> None:
    # Its bytes look like messages, wherever the stream is cut: they are not, and the stream cannot go on behind it.
    too_large = text_frame(text_frame(b"{}") * 100)
    parts = fed(reader(max_size=100), text_frame(b"before") + too_large + text_frame(b"behind"), cuts)
    assert parts[0] == (True, b"before")
    assert parts[1:] == [TOO_LARGE]


@settings(deadline=None)
@given(st.lists(frames, max_size=8), st.lists(st.integers(0, 70_000), max_size=8))
def test_reader_and_library_together_accept_what_the_library_alone_accepts(
    stream: list[bytes], cuts: list[int]
) -> None:
    alone, together = Protocol(Side.CLIENT, max_size=MAX_SIZE), Protocol(Side.CLIENT, max_size=MAX_SIZE)
    alone.receive_data(b"".join(stream))
    accepted: list[object] = []
    incoming = reader()
    places = [0, *sorted(cuts), sum(map(len, stream))]
    for start, end in itertools.pairwise(places):
        for part in incoming.feed(b"".join(stream)[start:end]):
            if isinstance(part, Breach):
                together.fail(part.code, part.reason)
            elif type(part) is OtherFrame:
                together.receive_data(part)
                accepted += together.events_received()
            else:
                accepted.append(Frame(Opcode.TEXT, part))
    assert accepted == alone.events_received()
    assert together.state is alone.state
    assert (together.close_sent and together.close_sent.code) == (alone.close_sent and alone.close_sent.code)

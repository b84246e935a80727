"""Bytes to lines, lines and lists to objects."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.kube import ProtocolError
from fairlead.kube._decode import Broken, ItemDecoder, split_line, split_list, version_of
from fairlead.kube._lines import LineSplitter
from fairlead.kube._versions import compare_versions
from fairlead.resources import EndpointSlice, Ref


@given(st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"")), max_size=20), st.data())
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    splitter, got, at = LineSplitter(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        got += splitter.feed(stream[at : at + size])
        at += size
    assert got == [line for line in lines if line.strip()]
    assert splitter.pending == 0


def test_a_line_that_has_not_ended_is_pending() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"abc") == []
    assert splitter.pending == 3
    assert splitter.feed(b"d\nef") == [b"abcd"]
    assert splitter.pending == 2


def test_a_line_has_a_limit_whether_it_ends_or_not() -> None:
    with pytest.raises(ProtocolError, match="longer than 100"):
        LineSplitter(100).feed(b"x" * 101)
    with pytest.raises(ProtocolError):
        LineSplitter(100).feed(b"x" * 101 + b"\n")
    splitter = LineSplitter(100)
    splitter.feed(b"x" * 60)
    with pytest.raises(ProtocolError):
        splitter.feed(b"x" * 60)


def test_a_long_line_in_small_chunks_comes_out_whole() -> None:
    splitter = LineSplitter()
    for _ in range(100_000):
        assert splitter.feed(b"x" * 15) == []
    assert splitter.feed(b"\n") == [b"x" * 1_500_000]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"metadata": {}, "items": 7}',
        b'{"items": []}',
        b'{"metadata": {"resourceVersion"',
    ],
)
def test_what_is_no_list_is_an_error_and_never_empty(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        split_list(body)


def test_a_list_without_items_is_empty() -> None:
    part = split_list(b'{"metadata": {"resourceVersion": "5"}, "items": null}')
    assert (part.version, part.continue_token, part.items) == ("5", "", [])


def test_a_page_has_a_continue_token() -> None:
    body = b'{"metadata": {"resourceVersion": "5", "continue": "t", "remainingItemCount": 3}, "items": [{"a": 1}]}'
    part = split_list(body)
    assert part.continue_token == "t"
    assert bytes(part.items[0]) == b'{"a": 1}'


@pytest.mark.parametrize("line", [b"x", b'{"type": "ADDED"}', b'{"type": "ADDED", "obj'])
def test_what_is_no_event_is_an_error(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        split_line(line)


def test_a_bookmarks_version() -> None:
    event = split_line(
        b'{"type":"BOOKMARK","object":{"kind":"EndpointSlice","metadata":{"resourceVersion":"7"}}}'
    )
    assert (event.type, version_of(event.object)) == ("BOOKMARK", "7")
    assert version_of(msgspec.Raw(b"7")) == ""


def test_a_good_object_is_its_projection() -> None:
    decoded = ItemDecoder(EndpointSlice).decode(
        msgspec.Raw(
            b'{"metadata": {"name": "a", "managedFields": [{"x": 1}]}, "addressType": "IPv6", "new": {}}'
        )
    )
    assert isinstance(decoded, EndpointSlice)
    assert decoded.address_type == "IPv6"


DEEP = (
    b'{"metadata": {"name": "a", "namespace": "n", "annotations": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
)


@pytest.mark.parametrize(
    ("raw", "ref", "error"),
    [
        (b'{"metadata": {"name": "a", "namespace": "n"}, "endpoints": "x"}', Ref("n", "a"), "endpoints"),
        (b'{"metadata": {"namespace": "n"}}', None, "metadata.name"),
        (b'{"metadata": 7}', None, "metadata"),
        (b"7", None, "object"),
        (b'{"metadata": {"name": "\xff"}}', None, ""),
        (DEEP, None, ""),
    ],
    ids=["a field", "no name", "no metadata", "no object", "no UTF-8", "too deep"],
)
def test_a_bad_object_is_broken_with_what_can_be_read_of_it(raw: bytes, ref: Ref | None, error: str) -> None:
    decoded = ItemDecoder(EndpointSlice).decode(msgspec.Raw(raw))
    assert isinstance(decoded, Broken)
    assert decoded.ref == ref or raw is DEEP
    assert error in decoded.error


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        ("9", "10", -1),
        ("10", "9", 1),
        ("10", "10", 0),
        ("", "10", None),
        ("a", "b", None),
        ("a", "a", 0),
        ("٣", "4", None),
        ("-1", "4", None),
        ("9" * 39, "1", 1),
        ("9" * 10_000, "1", None),
    ],
)
def test_versions_are_numbers_or_opaque(left: str, right: str, order: int | None) -> None:
    assert compare_versions(left, right) == order

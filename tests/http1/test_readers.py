"""The oracle bites: readers that part ways over the same bytes are told apart from a method that one does not know."""

from functools import partial

import pytest

from tests.http1.readers import (
    Agreed,
    RefusedError,
    UnknownMethodError,
    as_h11,
    as_llhttp,
    llhttp_knows,
    until_refused,
)

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
BREW = b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n"
# To llhttp a request that asks for an Upgrade has no body, whatever it says; to h11 it has one. A proxy that forwarded
# it so would lead the two apart.
DESYNC = (
    b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: %d\r\n\r\n"
    % len(BREW)
) + BREW


def test_what_llhttp_knows_are_the_methods_of_its_list() -> None:
    assert all(map(llhttp_knows, (b"GET", b"PURGE", b"M-SEARCH", b"PROPFIND", b"G", b"")))
    assert not any(map(llhttp_knows, (b"BREW", b"GETX", b"get", b"SMUGGLED", b"0")))


def test_a_method_that_llhttp_does_not_know_is_read_by_h11_alone() -> None:
    agreed = Agreed()
    assert [message.kind for message in agreed.feed(GET % 1 + BREW)] == [b"GET", b"BREW"]
    assert agreed.alone == 1
    # From the next packet on llhttp reads along again.
    agreed.feed(GET % 2)
    assert (agreed.alone, len(agreed.messages)) == (1, 3)


def test_one_in_pieces_is_excused_as_well() -> None:
    agreed = Agreed()
    for at in range(len(BREW)):
        agreed.feed(BREW[at : at + 1])
    assert (agreed.alone, [message.kind for message in agreed.messages]) == (1, [b"BREW"])


@pytest.mark.parametrize("data", [DESYNC, GET % 1 + DESYNC, DESYNC + GET % 1, GET % 1 + DESYNC + GET % 2])
def test_a_body_that_one_of_them_takes_for_a_request_is_no_excuse(data: bytes) -> None:
    with pytest.raises(RefusedError, match="reads"):
        Agreed().feed(data)


def test_nor_is_one_whose_end_is_still_to_come() -> None:
    agreed = Agreed()
    with pytest.raises(RefusedError, match="stumbles where h11 reads b'POST'"):
        agreed.feed(DESYNC[:-5])


def test_what_a_reader_finds_in_front_of_what_it_refuses() -> None:
    found, refusal = until_refused(as_llhttp, GET % 1 + BREW + GET % 2)
    assert [message.target for message in found] == [b"/1"]
    assert isinstance(refusal, UnknownMethodError)
    found, refusal = until_refused(as_llhttp, GET % 1 + b"GET /2 HTTP/1.1\r\nHost a\r\n\r\n")
    assert [message.target for message in found] == [b"/1"]
    assert type(refusal) is RefusedError
    found, refusal = until_refused(as_h11, GET % 1 + (GET % 2)[:-2])
    assert [message.target for message in found] == [b"/1"]
    assert refusal is None, "its end is still to come"


def test_h11_passes_over_one_empty_line_in_front_of_a_request() -> None:
    tolerant = partial(as_h11, empty_line_first=True)
    for data in (b"\r\n" + GET % 1 + b"\r\n" + GET % 2, GET % 1 + b"\r\n" + GET % 2):
        found, refusal = until_refused(tolerant, data)
        assert refusal is None
        assert [message.target for message in found][-1] == b"/2"
    for make, empty in ((tolerant, b"\r\n\r\n"), (as_h11, b"\r\n")):
        found, refusal = until_refused(make, GET % 1 + empty + GET % 2)
        assert [message.target for message in found] == [b"/1"]
        assert refusal is not None

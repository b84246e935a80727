"""However big a change is, nobody has to do all of it at a time: counted in looks at keys, not in time."""

import pytest

from fairlead.snapshot import Key, Kind, Rejection
from fairlead.stream import Session, Store, _transaction
from fairlead.translate import Delta, Encoded, Part
from tests.stream.model import ModelProxy, route

MANY = 5000
PART = 100
FEW = 20 * PART
"""What handling one part may cost: a few looks at each of its keys."""


class CountedKey(Key):
    """Counts how often some key is looked up."""

    __slots__ = ()
    looks = 0

    def __hash__(self) -> int:
        CountedKey.looks += 1
        return super().__hash__()


def looks_since(before: int) -> int:
    return CountedKey.looks - before


def accept(key: Key, body: bytes) -> Rejection | None:
    return None


KEYS = [CountedKey(Kind.ROUTE, f"HTTPRoute/default/r{number}") for number in range(MANY)]


@pytest.fixture
def store() -> Store:
    store = Store(accept)
    store.commit(Delta(upserts=tuple(Encoded(key, "h", route(key.name).name.encode()) for key in KEYS)))
    store.open()
    return store


def connected(store: Store) -> Session:
    """A session whose proxy has everything."""
    session = Session(store, epoch=1, number=1)
    session.receive(ModelProxy().hello())
    for _ in session.poll() or ():
        pass
    assert session._in_flight is not None
    session._in_flight = None
    return session


def test_the_last_part_of_a_big_delta_costs_no_more_than_another(store: Store) -> None:
    session = connected(store)
    for start in range(0, MANY, PART):
        part = Part.MORE if start + PART < MANY else Part.LAST
        before = CountedKey.looks
        changed = store.commit(Delta(part=part, removals=tuple(KEYS[start : start + PART])))
        session.touch(changed)
        assert looks_since(before) <= FEW
    assert len(changed) == MANY
    assert KEYS[0] not in store


def test_the_frames_of_a_big_update_are_made_one_at_a_time(store: Store) -> None:
    session = connected(store)
    session.touch(store.commit(Delta(removals=tuple(KEYS))))
    before = CountedKey.looks
    frames = session.poll()
    assert frames is not None
    most = looks_since(before)
    made = 0
    for frame in frames:
        most = max(most, looks_since(before) - made)
        made = looks_since(before)
        assert len(frame) <= _transaction.FRAME_BYTES + 1000
    assert most <= 10 * _transaction.LOOKS
    assert made >= MANY


def test_keys_that_come_to_nothing_let_others_go_on_without_a_frame(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_transaction, "LOOKS", 100)
    session = connected(store)
    session.touch(store.commit(Delta(removals=tuple(KEYS))))
    session.touch(store.commit(Delta(upserts=tuple(Encoded(key, "h", b"") for key in KEYS))))
    frames = list(session.poll() or ())
    assert frames == [b""] * (MANY // 100)
    assert session.poll() is None


def test_what_is_not_needed_any_more_is_freed_in_slices(store: Store) -> None:
    store.commit(Delta(removals=tuple(KEYS)))
    slices = 0
    more = True
    while more:
        before = CountedKey.looks
        more = store.tidy()
        assert looks_since(before) <= FEW
        slices += 1
    assert 5 <= slices <= 20

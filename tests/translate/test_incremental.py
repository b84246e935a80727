"""Incremental and full translation agree, whatever the order of events and wherever the slices end."""

from collections.abc import Callable
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.resources import Kind, Object, kind_of
from fairlead.sources import Removed, Synced, Unavailable, Upserted
from fairlead.translate import TranslateSettings
from tests.translate.harness import Lab
from tests.translate.universe import START, objects

kinds = st.builds(
    lambda kind, code: Unavailable(kind, code, "") if code else Synced(kind),
    st.sampled_from((Kind.REFERENCE_GRANT, Kind.BACKEND_POLICY)),
    st.sampled_from(("", "NotFound", "NotInstalled", "Forbidden")),
)
"""What a source says of an optional kind."""

REQUIRED = [kind for kind in Kind if kind not in (Kind.REFERENCE_GRANT, Kind.BACKEND_POLICY)]

Events = list[tuple[Object | Synced | Unavailable | int, int]]

_events = st.lists(
    st.tuples(
        st.one_of(objects, st.integers(0, 1000), kinds),
        # Units per slice before the next event; none: the next event comes at once.
        st.sampled_from((0, 0, 1, 2, 5, 1000)),
    ),
    min_size=1,
    max_size=40,
)


def units(limit: int) -> Callable[[], bool]:
    """A budget of `limit` units of work."""
    counter = count(1)
    return lambda: next(counter) < limit


def play(lab: Lab, events: Events) -> None:
    """Upserts the objects given, and removes the one that a number points to."""
    present: dict[tuple[str, str, str], Object] = {
        (kind_of(item), item.metadata.namespace, item.metadata.name): item for item in START
    }
    for event, work in events:
        if isinstance(event, int):
            if not present:
                continue
            gone = present.pop(sorted(present)[event % len(present)])
            lab.apply(Removed(kind_of(gone), gone, 0.0))
        elif isinstance(event, Synced | Unavailable):
            lab.apply(event)
        else:
            present[kind_of(event), event.metadata.namespace, event.metadata.name] = event
            lab.apply(Upserted(kind_of(event), event, 0.0))
        if work:
            for delta in (lab.translator.endpoints_lane(), lab.translator.configuration_lane(units(work))):
                if delta is not None:
                    lab.proxy.apply(delta)


@settings(max_examples=150)
@given(events=_events, synced=st.sampled_from((list(Kind), REQUIRED)), part=st.sampled_from((1, 3, 256)))
def test_all_deltas_add_up_to_the_full_snapshot(events: Events, synced: list[Kind], part: int) -> None:
    lab = Lab(*START, settings=TranslateSettings(zone="z0"), synced=synced, part=part)
    play(lab, events)
    lab.settle()
    lab.assert_full_agrees()


@settings(max_examples=60)
@given(events=_events, data=st.data())
def test_the_order_of_events_does_not_matter(events: Events, data: st.DataObject) -> None:
    lab = Lab(*START)
    play(lab, events)
    lab.settle()
    items = [obj for _, obj in lab.translator._world.objects.everything()]
    shuffled = data.draw(st.permutations(items))
    other = Lab(*shuffled, book=lab.book.copy())
    assert other.proxy.hashes == lab.proxy.hashes
    assert other.proxy.statuses == lab.proxy.statuses
    assert other.proxy.findings == lab.proxy.findings


@settings(max_examples=60)
@given(items=st.lists(objects, max_size=40))
def test_any_set_of_objects_translates_totally_and_twice_alike(items: list[Object]) -> None:
    lab, again = Lab(*START, *items), Lab(*START, *items)
    assert not [finding for finding in lab.proxy.findings.values() if finding.code == "Internal"]
    assert lab.proxy.hashes == again.proxy.hashes
    assert lab.proxy.statuses == again.proxy.statuses


@settings(max_examples=40)
@given(events=_events)
def test_what_did_not_change_is_not_sent_again(events: Events) -> None:
    lab = Lab(*START)
    play(lab, events)
    lab.settle()
    lab.put(*(obj for _, obj in lab.translator._world.objects.everything()))
    assert not lab.touched
    assert not lab.said

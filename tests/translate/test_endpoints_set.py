"""The set that is kept slice by slice holds what a merge of all slices gives."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import snapshot
from fairlead.translate._endpoint_set import EndpointSet
from fairlead.translate._endpoints import Candidate, SliceView, merge
from fairlead.translate._hints import Hints

_candidates = st.builds(
    lambda uid, address, port, ready, serving, terminating, hints: Candidate(
        snapshot.Endpoint(
            id=f"{uid}|{address}|{port}|TCP",
            address=address,
            port=port,
            ready=ready,
            serving=serving,
            terminating=terminating,
        ),
        hints,
    ),
    st.sampled_from("uv"),
    st.sampled_from(("10.0.0.1", "10.0.0.2")),
    st.sampled_from((80, 81)),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from((None, None, None, Hints(zones=("a",)), Hints(zones=("b",), nodes=("n",)))),
)

_views = st.builds(
    lambda family, members: SliceView(
        family, tuple(members), any(member.hints is not None for member in members)
    ),
    st.sampled_from(("IPv4", "IPv4", "IPv4", "IPv6")),
    st.lists(_candidates, max_size=4),
)

_steps = st.lists(st.tuples(st.sampled_from("xyz"), st.none() | _views), max_size=25)


@settings(max_examples=300)
@given(steps=_steps, zone=st.sampled_from(("", "", "a")), families=st.sampled_from(((), ("IPv6",))))
def test_it_equals_a_merge_after_every_change(
    steps: list[tuple[str, SliceView | None]], zone: str, families: tuple[str, ...]
) -> None:
    members = EndpointSet(zone=zone, node="n" if zone else "")
    views: dict[str, SliceView] = {}
    model: dict[str, snapshot.Endpoint] = {}
    for name, view in steps:
        if view is None:
            views.pop(name, None)
        else:
            views[name] = view
        changes = members.update(views, families)
        expected = merge((views[key] for key in sorted(views)), families, zone=zone, node="n" if zone else "")
        assert members.endpoints == expected
        for key in changes.removals:
            del model[key]
        for item in changes.upserts:
            assert model.get(item.id) != item, "only what changed"
            model[item.id] = item
        assert [model[key] for key in sorted(model)] == list(expected)

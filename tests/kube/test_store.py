"""The store and its index of EndpointSlices by Service."""

from hypothesis import given
from hypothesis import strategies as st

from fairlead.kube import Store, ref_of, service_of_slice
from fairlead.resources import EndpointSlice, Ref
from tests.kube.world import make_slice

operations = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove"]), st.sampled_from("abc"), st.sampled_from(["web", "api", ""])
    ),
    max_size=30,
)


@given(operations)
def test_the_index_is_what_a_search_would_find(steps: list[tuple[str, str, str]]) -> None:
    store: Store[EndpointSlice] = Store(service_of_slice)
    model: dict[Ref, EndpointSlice] = {}
    for version, (step, name, service) in enumerate(steps):
        if step == "put":
            obj = make_slice(name, service, [], uid="u", version=version)
            store.put(obj)
            model[ref_of(obj)] = obj
        else:
            ref = Ref("default", name)
            assert store.remove(ref) == model.pop(ref, None)
        assert {ref_of(obj): obj for obj in store} == model
        assert len(store) == len(model)
        for service_ in ("web", "api"):
            found = store.indexed(Ref("default", service_))
            assert sorted(map(ref_of, found)) == sorted(r for r, o in model.items() if o.service == service_)
        assert store.indexed(Ref("default", "")) == (), "slices of no Service are not indexed"


def test_a_namespace_is_part_of_the_index() -> None:
    store: Store[EndpointSlice] = Store(service_of_slice)
    store.put(make_slice("a", "web", [], uid="u", version=1))
    assert store.indexed(Ref("other", "web")) == ()
    assert len(store.indexed(Ref("default", "web"))) == 1

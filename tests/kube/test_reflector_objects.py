"""One object that cannot be decoded harms itself only."""

from fairlead.kube import Deleted, Gone
from fairlead.kube._decode import Broken
from fairlead.kube._effects import Observed
from fairlead.resources import EndpointSlice, Ref
from tests.kube.sim import Sim
from tests.kube.test_reflector_resume import started

A = Ref("default", "a")


def broken(
    sim: Sim, name: str, *, uid: str | None = None, error: str = "Expected `int`, got `str`"
) -> Broken:
    sim.world.tick()
    ref = Ref("default", name)
    held = sim.view.get(ref)
    return Broken(ref, uid or (held.metadata.uid if held else "uid-x"), str(sim.world.version), error)


def test_its_last_good_form_stays_and_a_finding_is_told_once() -> None:
    sim = started()
    good = sim.view[A]
    sim.feed(Observed("MODIFIED", broken(sim, "a")))
    sim.feed(Observed("MODIFIED", broken(sim, "a")))
    assert sim.view[A] == good
    assert sim.findings == {A: 1}
    assert sim.reflector.version == str(sim.world.version), "the stream goes on behind it"


def test_it_is_mended_by_the_next_good_form() -> None:
    sim = started()
    sim.feed(Observed("MODIFIED", broken(sim, "a")))
    mended = sim.world.put("a", addresses=["10.0.0.7"])
    sim.feed(Observed("MODIFIED", mended))
    assert sim.view[A] == mended
    assert sim.findings == {}


def test_it_goes_with_its_deletion() -> None:
    sim = started()
    good = sim.view[A]
    sim.feed(Observed("MODIFIED", broken(sim, "a")))
    sim.feed(Observed("DELETED", broken(sim, "a")))
    assert A not in sim.view
    assert sim.findings == {}
    assert sim.changes[-1] == Deleted(good)


def test_a_new_object_of_the_same_name_does_not_inherit_the_old_ones_last_form() -> None:
    sim = started()
    sim.feed(Observed("MODIFIED", broken(sim, "a", uid="uid-of-another")))
    assert A not in sim.view
    assert sim.findings == {A: 1}


def test_in_a_list_it_is_there_and_the_others_are_read() -> None:
    sim = started()
    sim.stream_error(Gone("x"))
    sim.answer()
    bad = broken(sim, "a")
    c = sim.world.put("c")
    sim.list_with([bad, c], str(sim.world.version))
    assert set(sim.view) == {A, Ref("default", "c")}
    assert sim.findings == {A: 1}


def test_a_list_with_an_item_without_a_name_removes_nothing() -> None:
    sim = started()
    sim.stream_error(Gone("x"))
    sim.answer()
    sim.list_with([Broken(None, "", "", "no object")], str(sim.world.version))
    assert len(sim.view) == 2
    assert sim.findings == {None: 1}
    sim.stream_error(Gone("x"))
    sim.settle(60)
    assert sim.findings == {}


def test_a_bad_object_that_vanished_unseen_is_no_longer_a_finding() -> None:
    sim = started()
    sim.feed(Observed("ADDED", broken(sim, "x")))
    assert sim.findings == {Ref("default", "x"): 1}
    sim.stream_error(Gone("x"))
    sim.run_until_watching()
    assert sim.findings == {}


def test_told_twice_it_does_not_look_like_another_history() -> None:
    sim = started()
    event: Observed[EndpointSlice] = Observed("MODIFIED", broken(sim, "a"))
    sim.feed(event)
    sim.feed(event)
    assert sim.position is not None

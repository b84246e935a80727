"""Any sequence of changes and faults: the copy never shows what never was, and is true after a quiet relist.

The faults are those of an unreliable network and server, and Sieve's three: a stale state, an unobserved gap, an
intermediate state. `Sim` checks the invariants at every step: what consumers were told equals the store; every
object that is shown had exactly that form at some time (so never an endpoint of another service); no error
changes an object; a removal carries the last form; the version never goes back but by a reset.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fairlead.kube import (
    Disconnected,
    Forbidden,
    NotFound,
    ProtocolError,
    Reflector,
    ServerError,
    TooManyRequests,
    Unreachable,
)
from fairlead.kube._decode import Broken
from fairlead.kube._effects import AwaitServer, Ended, List, Observed, Sleep, Stalled, Watch
from fairlead.kube._errors import Gone
from fairlead.resources import EndpointSlice, Ref
from tests.kube.sim import Sim
from tests.kube.world import endpoints

names = st.sampled_from(["s0", "s1", "s2", "s3"])
services = st.sampled_from(["web", "api"])
addresses = st.lists(st.sampled_from([f"10.0.0.{i}" for i in range(5)]), unique=True, max_size=3)
request_errors = st.sampled_from(
    [
        Gone("too old", status=410),
        TooManyRequests("slow down", status=429, retry_after=1.0),
        ServerError("boom", status=500),
        ServerError("starting", status=503, retry_after=2.0),
        Forbidden("no", status=403),
        NotFound("no", status=404),
        Disconnected("reset"),
        Unreachable("refused"),
        ProtocolError("truncated"),
    ]
)
stream_errors = st.sampled_from(
    [
        Gone("too old"),
        ServerError("boom", status=500),
        TooManyRequests("slow down", retry_after=1.0),
        Disconnected("cut"),
        ProtocolError("no JSON"),
    ]
)


class ReflectorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.sim = Sim()
        self.lossy = False
        """An event was kept from the reflector, or history was rewound: only a full list can tell."""
        self.delivered: list[tuple[str, EndpointSlice]] = []
        self.backups = [self.sim.world.backup()]

    # the API's state

    @rule(name=names, service=services, addresses=addresses)
    def put_slice(self, name: str, service: str, addresses: list[str]) -> None:
        self.sim.world.put(name, service, addresses)

    @rule(name=names)
    def delete_slice(self, name: str) -> None:
        if Ref("default", name) in self.sim.world.objects:
            self.sim.world.delete(name)

    @rule(source=names, into=names, add_first=st.booleans())
    def move_endpoints(self, source: str, into: str, add_first: bool) -> None:
        """Endpoints move between slices of a service; observers see an intermediate state."""
        world = self.sim.world
        old = world.objects.get(Ref("default", source))
        if old is None or source == into:
            return
        moved = [endpoint.addresses[0] for endpoint in old.endpoints or ()]
        if add_first:
            world.put(into, old.service, moved)
            world.put(source, old.service, [])
        else:
            world.put(source, old.service, [])
            world.put(into, old.service, moved)

    @rule()
    def something_else_changes(self) -> None:
        self.sim.world.tick()

    # the ways of a server in good health

    @rule()
    def answer(self) -> None:
        self.sim.answer()

    @rule(count=st.integers(1, 4))
    def deliver(self, count: int) -> None:
        sim = self.sim
        for _ in range(count):
            pending = sim.world.since(sim.position) if sim.position is not None else []
            if pending:
                self.delivered.append((pending[0].type, pending[0].object))
            sim.deliver(1)

    @rule()
    def bookmark(self) -> None:
        self.sim.bookmark()

    @rule(seconds=st.sampled_from([0.1, 2.0, 70.0]))
    def end_watch(self, seconds: float) -> None:
        if self.sim.position is not None:
            self.sim.now += seconds
            self.sim.feed(Ended())

    @rule(seconds=st.sampled_from([0.5, 30.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.sim.now += seconds

    # faults

    @precondition(lambda self: isinstance(self.sim.operation, List | Watch))
    @rule(error=request_errors, seconds=st.sampled_from([0.0, 5.0, 100.0]))
    def fail(self, error: Disconnected, seconds: float) -> None:
        self.sim.now += seconds
        self.sim.fail(error)

    @precondition(lambda self: self.sim.position is not None)
    @rule(error=stream_errors)
    def error_event(self, error: Disconnected) -> None:
        self.sim.stream_error(error)

    @precondition(lambda self: self.sim.position is not None)
    @rule()
    def silence(self) -> None:
        self.sim.now += 100
        self.sim.feed(Stalled())

    @precondition(lambda self: self.sim.position is not None and self.delivered)
    @rule(data=st.data())
    def duplicate(self, data: st.DataObject) -> None:
        type_, obj = data.draw(st.sampled_from(self.delivered[-3:]))
        self.sim.feed(Observed(type_, obj))

    @precondition(lambda self: self.sim.position is not None)
    @rule()
    def reorder(self) -> None:
        sim = self.sim
        pending = sim.world.since(sim.position or 0)
        if len(pending) >= 2:
            second, first = pending[0], pending[1]
            sim.feed(Observed(first.type, first.object))
            if sim.position is not None:
                sim.position = first.version
                sim.feed(Observed(second.type, second.object))
            # The reflector notices and drops the late one, or nothing was lost by the order.

    @precondition(lambda self: self.sim.position is not None)
    @rule()
    def drop(self) -> None:
        sim = self.sim
        pending = sim.world.since(sim.position or 0)
        if pending:
            sim.position = pending[0].version
            self.lossy = True

    @precondition(lambda self: self.sim.position is not None)
    @rule(name=names)
    def broken_object(self, name: str) -> None:
        """A form that cannot be decoded, then its good one: the write of a newer version of the CRD, say."""
        sim = self.sim
        sim.deliver()
        if sim.position is None:
            return
        ref = Ref("default", name)
        held = sim.world.objects.get(ref)
        if held is None:
            return
        sim.world.tick()
        sim.position = sim.world.version
        sim.feed(Observed("MODIFIED", Broken(ref, held.metadata.uid, str(sim.world.version), "bad")))
        sim.world.put(name, held.service, ["10.9.9.9"])

    @precondition(lambda self: isinstance(self.sim.operation, List))
    @rule(data=st.data())
    def stale_list(self, data: st.DataObject) -> None:
        """A replica that lags answers, whatever version was asked for (but not where the newest was)."""
        operation = self.sim.operation
        if isinstance(operation, List) and operation.version not in {"", "0"}:
            version, objects = data.draw(st.sampled_from(self.backups))
            if version <= self.sim.world.version:
                self.sim.now += 0.01
                self.sim.list_with(list(objects.values()), str(version))

    @rule()
    def backup(self) -> None:
        self.backups = [*self.backups[-3:], self.sim.world.backup()]

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        sim = self.sim
        sim.world.restore(data.draw(st.sampled_from(self.backups)))
        self.backups = [backup for backup in self.backups if backup[0] <= sim.world.version]
        self.delivered = []
        self.lossy = True
        if sim.position is not None:
            sim.fail(Disconnected("the server was stopped"))

    @rule()
    def compact(self) -> None:
        sim = self.sim
        if sim.position is not None:
            sim.deliver()
        sim.world.compact()

    @rule()
    def server_restarts(self) -> None:
        sim = self.sim
        sim.world.compact()
        if isinstance(sim.operation, List | Watch):
            sim.fail(Unreachable("refused"))

    @rule()
    def shell_crashes(self) -> None:
        self.sim.position = None
        self.sim.now += 5
        self.sim._take(self.sim.reflector.start())

    # what must hold

    @rule()
    def quiet(self) -> None:
        """After faults end the copy is true within a minute, or after the next full list where events were lost."""
        sim = self.sim
        if self.lossy:
            sim.run_until_watching()
            sim.pass_time(31 * 60)
            self.lossy = False
        sim.settle(60)
        assert endpoints(sim.view) == endpoints(sim.world.objects)
        assert sim.view == sim.world.objects

    @invariant()
    def no_hot_loop(self) -> None:
        self.sim.requests = self.sim.requests[-200:]
        times = [at for at, _ in self.sim.requests]
        recent = [at for at in times if at > self.sim.now - 1.0]
        assert len(recent) <= 12, f"{len(recent)} requests within a second"

    @invariant()
    def always_something_to_do(self) -> None:
        assert isinstance(self.sim.operation, List | Watch | Sleep | AwaitServer)
        assert isinstance(self.sim.reflector, Reflector)

    def teardown(self) -> None:
        self.quiet()


ReflectorMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestReflectorMachine = ReflectorMachine.TestCase

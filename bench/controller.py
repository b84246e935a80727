"""A controller in the benchmark's hands: it gives a proxy one configuration, and single changes to it.

It speaks the contract of `fairlead.snapshot` over the Unix socket as the real one does, and nothing else.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import msgspec

from fairlead import snapshot as s

HOST = "bench.test"
_BACKEND = s.backend_key("bench", "app", 80)
_PATIENCE_S = 60.0


def endpoint(index: int, address: str, port: int) -> s.Endpoint:
    """The Endpoint of a Pod."""
    return s.Endpoint(id=f"uid-{index:05}|{address}|{port}|TCP", address=address, port=port)


def _delta(before: s.Endpoints, after: s.Endpoints) -> s.EndpointsDelta:
    old = {each.id: each for each in before.endpoints}
    new = {each.id: each for each in after.endpoints}
    return s.EndpointsDelta(
        name=_BACKEND,
        base=s.endpoints_hash(before),
        hash=s.endpoints_hash(after),
        upserts=tuple(each for id_, each in new.items() if old.get(id_) != each),
        removals=tuple(id_ for id_ in old if id_ not in new),
    )


def _there_and_back(before: s.Endpoints, after: s.Endpoints) -> Iterator[s.EndpointsDelta]:
    """In turns, for ever. All hashes are taken now: that is milliseconds of work in which a shared core stands still."""
    return cycle((_delta(before, after), _delta(after, before)))


class Controller:
    """One proxy's controller."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(_PATIENCE_S)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._proxy: socket.socket | None = None
        self._generation = 0
        self._epoch = time.time_ns() // 1_000_000
        self._readiness: Iterator[s.EndpointsDelta] = iter(())
        self._presence: Iterator[s.EndpointsDelta] = iter(())

    def close(self) -> None:
        """Ends the stream; the proxy goes on with what it has."""
        for each in (self._proxy, self._listener):
            if each is not None:
                each.close()

    def configure(
        self,
        port: int,
        endpoints: list[s.Endpoint],
        load_balancer: s.LoadBalancer = s.LoadBalancer.PEAK_EWMA,
    ) -> None:
        """Waits for the proxy, gives it one Listener at the port and one Route to the endpoints, and awaits the ack."""
        self._proxy, _ = self._listener.accept()
        self._proxy.settimeout(_PATIENCE_S)
        all_ready = s.Endpoints(endpoints=tuple(sorted(endpoints, key=lambda each: each.id)))
        first, *rest = all_ready.endpoints
        unready = s.Endpoints(endpoints=(msgspec.structs.replace(first, ready=False), *rest))
        self._readiness = _there_and_back(all_ready, unready)
        self._presence = _there_and_back(all_ready, s.Endpoints(endpoints=tuple(rest)))
        rule = s.Rule(matches=(s.RouteMatch(),), targets=(s.Target(weight=1, backend=_BACKEND),))
        resources: list[tuple[s.Kind, str, s.Resource]] = [
            (s.Kind.BIND, f"127.0.0.1:{port}", s.Bind(address="127.0.0.1", port=port)),
            (
                s.Kind.LISTENER,
                "bench/edge/web",
                s.Listener(
                    bind=f"127.0.0.1:{port}",
                    gateway_namespace="bench",
                    gateway="edge",
                    listener="web",
                    port=port,
                ),
            ),
            (s.Kind.ENDPOINTS, _BACKEND, all_ready),
            (
                s.Kind.BACKEND,
                _BACKEND,
                s.Backend(
                    namespace="bench",
                    service="app",
                    port=80,
                    policy=s.Policy(load_balancer=load_balancer),
                ),
            ),
            (
                s.Kind.ROUTE,
                "HTTPRoute/bench/app",
                s.Route(
                    namespace="bench",
                    name="app",
                    created_s=0,
                    attachments=(s.Attachment(listener="bench/edge/web", hostnames=(HOST,)),),
                    rules=(rule,),
                ),
            ),
        ]
        self._send(upserts=tuple(_upsert(*each) for each in resources))

    def change_one(self) -> float:
        """Turns one endpoint's readiness over; gives the seconds until all workers had adopted it."""
        return self._send(endpoints=(next(self._readiness),))

    def come_or_go(self) -> float:
        """The same for one endpoint that goes, or comes again; only where all are ready."""
        return self._send(endpoints=(next(self._presence),))

    def _send(
        self, upserts: tuple[s.Upsert, ...] = (), endpoints: tuple[s.EndpointsDelta, ...] = ()
    ) -> float:
        assert self._proxy is not None
        self._generation += 1
        position = s.Position(epoch=self._epoch, generation=self._generation)
        full = self._generation == 1
        frame = s.encode_frame(s.Update(position=position, full=full, upserts=upserts, endpoints=endpoints))
        started = time.perf_counter()
        self._proxy.sendall(frame)
        while True:
            match self._receive():
                case s.Ack(position=adopted, rejected=rejected) if adopted == position:
                    if rejected:
                        raise RuntimeError(f"the proxy refuses the configuration: {rejected}")
                    return time.perf_counter() - started
                case _:
                    pass

    def _receive(self) -> s.FromProxy:
        (length,) = struct.unpack(">I", self._exactly(4))
        return s.decode_from_proxy(self._exactly(length))

    def _exactly(self, count: int) -> bytes:
        assert self._proxy is not None
        data = bytearray()
        while len(data) < count:
            chunk = self._proxy.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the proxy has closed the stream")
            data += chunk
        return bytes(data)


def _upsert(kind: s.Kind, name: str, resource: s.Resource) -> s.Upsert:
    body = s.encode_resource(resource)
    return s.Upsert(kind=kind, name=name, hash=s.content_hash(body), body=body)

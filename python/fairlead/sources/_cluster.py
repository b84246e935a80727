"""Objects from a cluster: one reflector for each kind, over all namespaces.

Laws:
1. The kinds are independent: one that is refused, absent, failing or broken does not hold up the others.
2. A defect while following one kind is logged, told as `Unavailable` and tried again; it ends nothing else.
3. A change that the sink cannot take is told alone once more; if that fails too it is a `Finding`, and what
   came with it has still been told.
"""

import asyncio
from collections.abc import Iterable, Sequence
from random import Random, SystemRandom
from typing import cast

import msgspec

from fairlead.base import Clock, SystemClock, get_logger
from fairlead.kube import (
    Client,
    Deleted,
    Follower,
    HealthSettings,
    Mended,
    Put,
    Readable,
    Reflector,
    ReflectorSettings,
    ReflectorStats,
    ServerHealth,
    Store,
    StoreChange,
    Undecodable,
    Unreadable,
    ref_of,
    service_of_slice,
)
from fairlead.resources import KINDS, EndpointSlice, Kind, Object, Ref
from fairlead.sources._changes import Change, Finding, Removed, Sink, Synced, Unavailable, Upserted

_log = get_logger("sources.cluster")

_UNDECODABLE_CODE = "Undecodable"
"""The code of findings about objects that cannot be decoded."""


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to follow a cluster."""

    reflector: ReflectorSettings = ReflectorSettings()
    health: HealthSettings = HealthSettings()
    restart_after: float = 5.0
    """Seconds before a kind is followed anew after a defect."""


class ClusterSource:
    """See the module's laws; a `Source`."""

    def __init__(
        self,
        client: Client,
        *,
        kinds: Iterable[Kind] = tuple(KINDS),
        settings: ClusterSettings | None = None,
        random: Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.stores: dict[Kind, Store[Object]] = {}
        """The local copies; EndpointSlices are indexed by the `Ref` of their Service."""
        self.defects = 0
        """Defects met so far, here and in the sink."""
        self._client = client
        self._settings = settings or ClusterSettings()
        self._random = random or SystemRandom()
        self._clock = clock or SystemClock()
        self.health = ServerHealth(
            client.probe, random=self._random, settings=self._settings.health, clock=self._clock
        )
        self._reflectors: dict[Kind, Reflector[Object]] = {}
        for kind in kinds:
            store: Store[Object] = Store(_service_of) if kind is Kind.ENDPOINT_SLICE else Store()
            self.stores[kind] = store
            self._reflectors[kind] = Reflector(
                store, random=self._random, settings=self._settings.reflector, what=KINDS[kind].path()
            )

    def stats(self) -> dict[Kind, ReflectorStats]:
        """Counters of each kind's reflector, live."""
        return {kind: reflector.stats for kind, reflector in self._reflectors.items()}

    async def run(self, sink: Sink) -> None:
        """Follows all kinds until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._reflectors:
                group.create_task(self._supervise(kind, sink), name=f"reflector-{kind}")

    async def _supervise(self, kind: Kind, sink: Sink) -> None:
        def emit(changes: Sequence[StoreChange[Object]]) -> None:
            at = self._clock.monotonic()
            self._tell(sink, kind, [_change(kind, change, at) for change in changes])

        info = KINDS[kind]
        while True:
            follower = Follower(
                self._reflectors[kind],
                api=self._client,
                path=info.path(),
                type_=cast("type[Object]", info.type),
                health=self.health,
                emit=emit,
                clock=self._clock,
            )
            try:
                await follower.run()
            except Exception as error:  # noqa: BLE001 - a supervisor: logged, counted, told
                self.defects += 1
                _log.exception("a defect while following a kind", kind=kind)
                sink([Unavailable(kind, "Internal", f"{type(error).__name__}: {error}")])
            await asyncio.sleep(self._settings.restart_after)

    def _tell(self, sink: Sink, kind: Kind, changes: Sequence[Change]) -> None:
        try:
            sink(changes)
        except Exception as error:  # noqa: BLE001 - poison: contained, logged, counted, told
            self.defects += 1
            _log.exception("changes could not be taken", kind=kind, changes=len(changes))
            if len(changes) > 1:
                for change in changes:
                    self._tell(sink, kind, [change])
            elif isinstance(changes[0], Upserted | Removed):
                where = _where(kind, ref_of(changes[0].object))
                self._tell(sink, kind, [Finding("Internal", f"{type(error).__name__}: {error}", where)])


def _service_of(obj: Object) -> Ref | None:
    return service_of_slice(obj) if isinstance(obj, EndpointSlice) else None


def _change(kind: Kind, change: StoreChange[Object], at: float) -> Change:
    match change:
        case Put():
            return Upserted(kind, change.object, at)
        case Deleted():
            return Removed(kind, change.object, at)
        case Readable():
            return Synced(kind)
        case Unreadable():
            return Unavailable(kind, change.code, change.message)
        case Undecodable():
            return Finding(_UNDECODABLE_CODE, change.message, _where(kind, change.ref))
        case Mended():
            return Finding(
                _UNDECODABLE_CODE, "can be decoded, or is gone", _where(kind, change.ref), resolved=True
            )


def _where(kind: Kind, ref: Ref | None) -> str:
    return f"{kind} {ref if ref is not None else '(no name)'}"

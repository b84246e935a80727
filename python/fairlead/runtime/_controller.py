"""The controller: source -> translate -> stream, and the admin API beside it.

Laws:
1. Every task has a name and lives in one TaskGroup: the failure of one ends the process, and the supervisor starts
   it again. The proxy serves on meanwhile.
2. Nothing is streamed before everything required was listed and translated once.
3. What a sync has brought is taken out of the garbage collector's sight, and the first sync runs without it: a
   full collection of a big installation holds the loop for tens of milliseconds, and finds nothing. So with what
   later changes bring (`_garbage`).
"""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence

from fairlead import __version__, admin, api, stream
from fairlead.base import Clock, ErrorSource, FairleadError, SystemClock, Turns, configure_logging, get_logger
from fairlead.resources import BackendPolicy, HTTPRoute
from fairlead.runtime import _addresses, _stats
from fairlead.runtime._complaints import Complaints
from fairlead.runtime._crds import PINNED
from fairlead.runtime._garbage import Garbage
from fairlead.runtime._lanes import Lanes
from fairlead.runtime._lock import CONTROLLER, acquire
from fairlead.runtime._paths import InstancePaths, instance_paths
from fairlead.runtime._settings import Settings
from fairlead.runtime._sources import Attached, attach
from fairlead.runtime._supervision import USAGE
from fairlead.runtime._validation import Verdicts, core_validate
from fairlead.snapshot import Position
from fairlead.sources import Change, Finding, Synced, Unavailable, Upserted
from fairlead.status import StatusKeeper
from fairlead.translate import (
    CONTROLLER_NAME,
    AddressBook,
    Delta,
    GatewayAPI,
    TranslateSettings,
    Translator,
)

_STATUS_S = 0.5
_SWITCH_S = 0.0005
"""How long a thread that parses manifests may keep the loop waiting for the interpreter; Python's own is ten times
that, at every turn."""
_FIRST_SYNC_S = 60.0
"""How long the collector waits for the first sync: while nothing can be read, garbage must not grow for ever."""


class Controller:
    """One run of the controller."""

    def __init__(
        self,
        settings: Settings,
        paths: InstancePaths,
        *,
        attached: Attached,
        validate: stream.Validate,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._paths = paths
        self._attached = attached
        self._clock = clock
        self._epoch = int(self._clock.wall() * 1000)
        self._log = get_logger("controller")
        self._complaints = Complaints()
        controller_name = settings.controller_name or CONTROLLER_NAME
        self._addresses = AddressBook(
            pool=settings.address_pool,
            recorded=_addresses.load(paths.addresses) if attached.keeps_addresses else None,
            assigning=attached.writing is None,
        )
        self._record = _addresses.AddressRecord(paths.addresses, self._addresses.assignments())
        self._status_news = asyncio.Event()
        self._turns = Turns()
        self._verdicts = Verdicts(validate)
        self._store = stream.Store(self._verdicts.for_store)
        self._statuses = StatusKeeper(controller_name=controller_name, clock=self._clock, epoch=self._epoch)
        self._server = stream.StreamServer(
            self._store, epoch=self._epoch, on_event=self._told, turns=self._turns
        )
        self._telemetry = admin.TelemetryBook()
        self._looking = admin.Looking(
            self._telemetry,
            subscribe=self._server.subscribe,
            proxies=lambda: self._server.proxies,
            clock=self._clock,
        )
        self._inventory = admin.Inventory(self._store, self._statuses, self._telemetry)
        self._translator = Translator(
            TranslateSettings(
                controller_name=controller_name,
                gateway_class=attached.gateway_class,
                zone=settings.zone,
                node=settings.node,
                loopback_endpoints_allowed=attached.loopback_endpoints,
            ),
            self._addresses,
            self._verdicts.for_translation,
        )
        self._garbage = Garbage(at_rest=lambda: self._translator.idle)
        self._lanes = Lanes(
            self._translator,
            publish=self._publish,
            settled=self._on_settled,
            clock=self._clock,
            tidy=self._store.tidy,
            turns=self._turns,
        )

    async def run(self) -> None:
        """Runs until cancelled."""
        api_server = admin.AdminServer(
            self._inventory,
            self._looking,
            instance=self._about,
            clock=self._clock,
            turns=self._turns,
        )
        gc.disable()
        asyncio.get_running_loop().call_later(_FIRST_SYNC_S, gc.enable)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run(self._paths.stream_socket), name="stream")
            tasks.create_task(api_server.run(self._paths.admin_socket), name="admin")
            tasks.create_task(self._lanes.run(), name="lanes")
            tasks.create_task(self._garbage.run(), name="garbage")
            tasks.create_task(self._looking.run(), name="telemetry")
            if self._attached.reflectors is not None:
                reporting = _stats.report(self._attached.reflectors, self._server.tell, self._clock)
                tasks.create_task(reporting, name="stats")
            if self._attached.writing is not None:
                writing = self._attached.writing.run(self._statuses, on_held=self._on_held, turns=self._turns)
                tasks.create_task(writing, name="status")
            else:
                tasks.create_task(self._settle_statuses(), name="status")
            if self._attached.crds is not None:
                tasks.create_task(self._attached.crds.run(self._know), name="crds")
            else:
                self._know(PINNED)
            tasks.create_task(self._attached.source.run(self._sink), name="source")

    def _sink(self, changes: Sequence[Change], /) -> None:
        for change in changes:
            match change:
                case Synced() | Unavailable():
                    self._complaints.kind(change)
                case Finding():
                    self._complaints.finding(change)
                case Upserted(object=HTTPRoute() | BackendPolicy() as item):
                    self._statuses.seen(item)
                case _:
                    pass
        self._garbage.stir()
        self._inventory.apply(changes)
        self._lanes.sink(changes)

    def _publish(self, delta: Delta) -> None:
        self._garbage.stir()
        event_ms = None
        if delta.event_at is not None:
            age_s = self._clock.monotonic() - delta.event_at
            event_ms = int((self._clock.wall() - age_s) * 1000)
        refused = dict(self._store.refused)
        self._server.publish(delta, event_ms=event_ms)
        if refused != self._store.refused:
            self._statuses.rejected("", tuple(self._store.refused.values()))
            self._inventory.touch()
        if delta.statuses:
            self._statuses.update(delta.statuses, self._position())
            self._statuses_changed()
        if delta.findings:
            for finding in delta.findings:
                self._complaints.finding(finding)
            self._inventory.find(delta.findings)
        if self._translator.idle:
            self._verdicts.forget()

    def _on_settled(self) -> None:
        """The work after a sync is done."""
        if not self._store.is_open:
            self._log.info("ready", source=self._settings.source, resources=len(self._store))
            self._server.open()
        gc.freeze()
        gc.enable()

    def _told(self, event: stream.Event) -> None:
        self._garbage.stir()
        self._inventory.told(event)
        match event:
            case stream.Greeted():
                self._log.info("proxy connected", proxy=event.proxy, scope=event.scope)
            case stream.Adopted():
                self._statuses.acked(event.proxy, event.position)
                self._lanes.kick()  # what only this update still saw can be freed
                self._statuses.rejected(event.proxy, event.rejected)
                self._complaints.refused(event.proxy, event.rejected)
            case stream.FactsLearnt():
                self._statuses.facts(event.proxy, event.binds)
            case stream.Measured():
                self._looking.measured(event.proxy, event.telemetry)
            case stream.Gone():
                self._log.info("proxy gone", proxy=event.proxy)
                self._complaints.gone(event.proxy)
                self._statuses.gone(event.proxy)
        self._statuses_changed()

    def _statuses_changed(self) -> None:
        self._status_news.set()
        if self._attached.writing is not None:
            self._attached.writing.wake()

    def _know(self, gateway_api: GatewayAPI) -> None:
        self._translator.know(gateway_api)
        self._lanes.kick()

    def _on_held(self, held: bool) -> None:  # noqa: FBT001 - a callback
        """Addresses are assigned by whoever can record them."""
        self._translator.reassign_addresses(assigning=held)
        self._lanes.kick()

    async def _settle_statuses(self) -> None:
        """Where no API keeps statuses and addresses, this instance does."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_S):
                    await self._status_news.wait()
            self._status_news.clear()
            while self._statuses.take_changed() or self._statuses.behind:
                self._inventory.touch()
                await self._turns.next()
            if self._attached.keeps_addresses:
                await self._record.keep(self._addresses.assignments())

    def _position(self) -> Position:
        return Position(epoch=self._epoch, generation=self._store.generation)

    def _about(self) -> api.Instance:
        return api.Instance(
            name=self._settings.instance,
            version=__version__,
            pid=os.getpid(),
            source=self._settings.source,
            ready=self._store.is_open,
            epoch=self._epoch,
            generation=self._store.generation,
            status_writer=self._attached.writing.writer if self._attached.writing is not None else "",
            kinds=self._inventory.kinds,
            rejected=self._inventory.refused,
            proxies=self._inventory.proxies,
        )


async def control(settings: Settings) -> None:
    """Runs the controller of an instance until SIGTERM or SIGINT. Raises FairleadError."""
    paths = instance_paths(settings.instance, state_dir=settings.state_dir)
    lock = acquire(paths, CONTROLLER)
    try:
        clock = SystemClock()
        async with attach(settings, paths, clock) as attached:
            controller = Controller(settings, paths, attached=attached, validate=core_validate(), clock=clock)
            running = asyncio.create_task(controller.run(), name="controller")
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, running.cancel)
            with contextlib.suppress(asyncio.CancelledError):
                await running
    finally:
        lock.release()


def main(settings: Settings) -> int:
    """Runs the controller; returns the exit code."""
    configure_logging(level=settings.log_level)
    sys.setswitchinterval(_SWITCH_S)
    try:
        asyncio.run(control(settings))
    except FairleadError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        sys.stderr.write(f"error: {error.message} ({error.code}){hint}\n")
        return USAGE if error.source is ErrorSource.USER else 1
    return 0

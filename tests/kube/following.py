"""A real reflector over real sockets, with all its times scaled down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import msgspec

from fairlead.kube import (
    BackoffSettings,
    Client,
    ClientSettings,
    Credentials,
    Deleted,
    Follower,
    HealthSettings,
    Put,
    Readable,
    Reflector,
    ReflectorSettings,
    ServerHealth,
    Store,
    StoreChange,
    Trust,
    Undecodable,
    Unreadable,
    ref_of,
    service_of_slice,
)
from fairlead.kube._identity import User
from fairlead.resources import EndpointSlice, Ref
from tests.kube.fake_api import SLICES, FakeApi, eventually

FAST = ReflectorSettings(
    watch_timeout=(30, 60),
    inactivity=5.0,
    very_short=0.1,
    spread=0.05,
    late_after=0.3,
    backoff=BackoffSettings(initial=0.08, cap=0.5, reset_after=5.0),
)
HEALTH = HealthSettings(interval=(0.05, 0.1), starting=1.0, spread=0.01)
CLIENT = ClientSettings(
    call_timeout=2.0, list_timeout=2.0, watch_head_timeout=1.0, connect_timeout=0.5, probe_timeout=0.5
)


def credentials(url: str, *, user: User | None = None) -> Credentials:
    return Credentials(
        server=url,
        trust=Trust(None, insecure=False, server_name=None),
        user=user or User(),
        proxy=None,
        namespace="default",
        origin="a test",
    )


class Following:
    def __init__(self, api: FakeApi, client: Client, settings: ReflectorSettings) -> None:
        self.api = api
        self.view: dict[Ref, EndpointSlice] = {}
        self.state: list[str] = []
        self.deleted: list[str] = []
        self.undecodable: list[Undecodable] = []
        self.smallest = 0
        """The fewest objects that were known since the first list."""
        self.health = ServerHealth(client.probe, random=Random(1), settings=HEALTH)
        self.reflector = Reflector(Store(service_of_slice), random=Random(1), settings=settings)
        self.follower = Follower(
            self.reflector,
            api=client,
            path=SLICES,
            type_=EndpointSlice,
            health=self.health,
            emit=self._emit,
        )

    def _emit(self, changes: Sequence[StoreChange[EndpointSlice]]) -> None:
        for change in changes:
            match change:
                case Put():
                    self.view[ref_of(change.object)] = change.object
                case Deleted():
                    del self.view[ref_of(change.object)]
                    self.deleted.append(change.object.metadata.name)
                case Readable():
                    self.state.append("ok")
                    self.smallest = self.smallest or len(self.view)
                case Unreadable():
                    self.state.append(change.code)
                case Undecodable():
                    self.undecodable.append(change)
                case _:
                    pass
        self.smallest = min(self.smallest, len(self.view))

    @property
    def names(self) -> set[str]:
        return {ref.name for ref in self.view}

    async def is_true(self, within: float = 5.0) -> None:
        """Waits until the view is what the world is."""
        await eventually(lambda: self.view == self.api.world.objects, within=within, what=str(self.names))

    async def watching(self, count: int = 1) -> None:
        """Waits until so many watches have been opened, and one is open."""
        await eventually(
            lambda: self.api.count("watch") >= count and bool(self.api.watchers), what="watching"
        )


@asynccontextmanager
async def following(
    api: FakeApi, *, client: ClientSettings = CLIENT, **settings: object
) -> AsyncIterator[Following]:
    """Follows the world of `api`; ends with the test."""
    async with Client(credentials(api.url), settings=client) as made:
        follow = Following(api, made, msgspec.structs.replace(FAST, **settings))
        task = asyncio.create_task(follow.follower.run())
        try:
            yield follow
            assert not task.done(), "the follower has ended"
        finally:
            task.cancel()
            await asyncio.wait([task])

"""Taking turns: of all who work in slices one goes on in each turn of the event loop.

Laws:
1. Who has worked for a slice asks for the next `turn`; the slices of different workers never stand in the same turn
   of the loop. So a socket or a timer waits for one slice, and not for one of each worker.
2. First come, first served. A turn that nobody asks for costs nothing.
"""

import asyncio
from collections import deque


class Turns:
    """One queue for all slices of a loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._calling = False

    async def next(self) -> None:
        """Returns in a later turn of the loop, when nobody else has been let go on in it."""
        loop = asyncio.get_running_loop()
        mine = loop.create_future()
        self._waiting.append(mine)
        if not self._calling:
            self._calling = True
            loop.call_soon(self._call)
        await mine

    def _call(self) -> None:
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                break
        self._calling = bool(self._waiting)
        if self._calling:
            asyncio.get_running_loop().call_soon(self._call)

"""What goes on for longer, as Python likes it: `async for` takes what comes, `async with` ends it."""

from __future__ import annotations

import collections
from typing import Awaitable, Callable, Deque, Generator, List, Optional

from . import hivesync_ffi
from .hivesync_ffi import (
    CancelHandle,
    HiveSyncError,
    Job,
    NotificationEvent,
    OpenProgress,
    OpenStats,
    Published,
    PublishProgress,
)


class _Ended:
    """Ends with the block that it was opened for."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_raised) -> None:
        self.cancel()


class JobWatch(_Ended, hivesync_ffi.JobWatch):
    """The states of a job: `async for job in watch`."""

    def __aiter__(self) -> JobWatch:
        return self

    async def __anext__(self) -> Job:
        job = await self.next()
        if job is None:
            raise StopAsyncIteration
        return job


class Sync(_Ended):
    """A sync, which begins with the first state that is asked for: `async for job in sync`.

    Its end leaves the job alone; `HiveSync.cancel_job` stops that.
    """

    def __init__(self, begin: Callable[[CancelHandle], Awaitable[JobWatch]]) -> None:
        self._begin = begin
        self._beginning = CancelHandle()
        self._watch: Optional[JobWatch] = None

    def __aiter__(self) -> Sync:
        return self

    async def __anext__(self) -> Job:
        if self._watch is None:
            try:
                self._watch = await self._begin(self._beginning)
            except HiveSyncError.Cancelled:
                raise StopAsyncIteration from None
            if self._beginning.is_cancelled():
                self._watch.cancel()
        return await anext(self._watch)

    def cancel(self) -> None:
        """Ends the states, also for whoever waits."""
        self._beginning.cancel()
        if self._watch is not None:
            self._watch.cancel()


class NotificationStream(_Ended, hivesync_ffi.NotificationStream):
    """The user's notifications: `async for event in stream`."""

    _waiting: Deque[NotificationEvent]

    def __new__(cls) -> NotificationStream:
        # The binding makes its objects without calling `__init__`.
        self = super().__new__(cls)
        self._waiting = collections.deque()
        return self

    def __aiter__(self) -> NotificationStream:
        return self

    async def __anext__(self) -> NotificationEvent:
        if not self._waiting:
            self._waiting.extend(await super().next_batch())
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def next_batch(self) -> List[NotificationEvent]:
        """Waits for events: those that `async for` has not come to, or one to 64 others. None at the end."""
        if not self._waiting:
            return await super().next_batch()
        batch = list(self._waiting)
        self._waiting.clear()
        return batch

    def cancel(self) -> None:
        """Ends the stream, also for whoever waits."""
        super().cancel()
        self._waiting.clear()


class Publishing(_Ended, hivesync_ffi.Publishing):
    """A publication: `async for progress in publishing`, and `await publishing` for its result.

    `cancel` stops it; a preview that the server knows by then stays there until it expires or is revoked.
    """

    def __aiter__(self) -> Publishing:
        return self

    async def __anext__(self) -> PublishProgress:
        progress = await self.next()
        if progress is None:
            raise StopAsyncIteration
        return progress

    def __await__(self) -> Generator[None, None, Published]:
        return self.result().__await__()


class Download(_Ended, hivesync_ffi.Download):
    """A download: `async for progress in download`, and `await download` for its result."""

    def __aiter__(self) -> Download:
        return self

    async def __anext__(self) -> OpenProgress:
        progress = await self.next()
        if progress is None:
            raise StopAsyncIteration
        return progress

    def __await__(self) -> Generator[None, None, OpenStats]:
        return self.result().__await__()

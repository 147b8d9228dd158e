"""The client, with Python's habits."""

from __future__ import annotations

import weakref
from typing import Optional, cast

from . import hivesync_ffi
from .event_loop import run_stores_here
from .hivesync_ffi import (
    CancelHandle,
    ClientOptions,
    PreviewToken,
    PublishOptions,
    SecretStore,
    StoreCapabilities,
)
from .streams import Download, JobWatch, NotificationStream, Publishing, Sync


class OpenPreview(hivesync_ffi.OpenPreview):
    """An opened preview."""

    _begun: weakref.WeakSet

    def download(self, directory: str) -> Download:
        """As `save_to`, to be watched and stopped."""
        download = cast(Download, super().download(directory))
        self._begun.add(download)
        return download


class HiveSync(hivesync_ffi.HiveSync):
    """A client of HiveSync: one server, at most one account.

    `async with` ends, with its block, the streams, publications and downloads that the client began.
    """

    _begun: weakref.WeakSet

    def __new__(cls) -> HiveSync:
        # The binding makes its objects without calling `__init__`.
        self = super().__new__(cls)
        self._begun = weakref.WeakSet()
        return self

    @classmethod
    async def in_memory(cls, options: ClientOptions) -> HiveSync:
        """Makes a client that forgets its session when the process ends."""
        return cast(HiveSync, await super().in_memory(options))

    @classmethod
    async def with_store(cls, options: ClientOptions, store: SecretStore, capabilities: StoreCapabilities) -> HiveSync:
        """Makes a client that keeps its session and the device's key in `store`.

        The coroutines of all stores of the process run on the event loop that this was last called on.
        """
        run_stores_here()
        return cast(HiveSync, await super().with_store(options, store, capabilities))

    async def __aenter__(self) -> HiveSync:
        return self

    async def __aexit__(self, *_raised) -> None:
        for begun in list(self._begun):
            begun.cancel()

    def watch_job(self, job_id: str) -> JobWatch:
        """The job as it stands, then each change, until it has ended: `async for job in client.watch_job(id)`."""
        watch = cast(JobWatch, super().watch_job(job_id))
        self._begun.add(watch)
        return watch

    def follow_notifications(self, after: Optional[int] = None) -> NotificationStream:
        """The user's notifications, live: those after a sequence, or those that come from now on."""
        stream = cast(NotificationStream, super().follow_notifications(after))
        self._begun.add(stream)
        return stream

    def publish_preview(self, project_id: str, directory: str, options: PublishOptions) -> Publishing:
        """Starts to publish the files of a directory: `published = await client.publish_preview(...)`."""
        publishing = cast(Publishing, super().publish_preview(project_id, directory, options))
        self._begun.add(publishing)
        return publishing

    async def open_preview(self, token: PreviewToken, cancel: Optional[CancelHandle] = None) -> OpenPreview:
        """Opens a preview on this device. Its files are fetched by what this returns."""
        preview = cast(OpenPreview, await super().open_preview(token, cancel))
        preview._begun = self._begun
        return preview

    def sync(self, project_id: str) -> Sync:
        """Syncs a project, and gives the states of the job to its last: `async for job in client.sync(id)`."""

        async def begin(cancel: CancelHandle) -> JobWatch:
            return self.watch_job((await self.sync_repository(project_id, cancel)).id)

        sync = Sync(begin)
        self._begun.add(sync)
        return sync

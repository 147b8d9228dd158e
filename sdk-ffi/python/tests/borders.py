"""Tries the borders of the package against a running server: what is refused, what is kept, and what gets across.

Usage: borders.py SERVER_URL, with HIVESYNC_EMAIL, HIVESYNC_PASSWORD and HIVESYNC_PREVIEW_TOKEN in the environment.
The token must open a preview on every device of the account.

Prints one JSON document and exits with 0 only if signing in, the session (also from a store, in a second client)
and the preview worked, and what must be refused was refused. Secrets are never printed.
"""

import asyncio
import hashlib
import json
import logging
import os
import pathlib
import sys
import tempfile
from unittest import mock

from hivesync import (
    CancelHandle,
    ClientOptions,
    Credentials,
    Download,
    HiveSync,
    HiveSyncError,
    LogLevel,
    Platform,
    PreviewToken,
    SecretStore,
    SignedOutReason,
    StorageErrorKind,
    StoreCapabilities,
    StoreError,
    check_secret_store,
    log_to,
    remove_log_sink,
)


class DictStore(SecretStore):
    """Keeps secrets in memory, to be handed from one client to the next."""

    def __init__(self):
        self.slots = {}

    async def load(self, slot):
        return self.slots.get(slot)

    async def save(self, slot, secret):
        self.slots[slot] = secret

    async def delete(self, slot):
        self.slots.pop(slot, None)


class BrokenStore(DictStore):
    """Fails as a store may."""

    async def load(self, slot):
        raise StoreError.Locked()


CAPABILITIES = StoreCapabilities(persistent=True, shared=False)


def expect(condition, claim):
    if not condition:
        raise AssertionError(claim)


async def refused(call, kind):
    """The error of a call that must fail in this way."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError(f"not refused: {kind.__name__}")


async def check_sign_in(options, email, password):
    """Signs in and comes back with the store; a wrong password and used credentials are refused."""
    store = DictStore()
    client = await HiveSync.with_store(options, store, CAPABILITIES)
    error = await refused(client.account(), HiveSyncError.SignedOut)
    expect(error.reason == SignedOutReason.NOT_SIGNED_IN, "nobody is signed in at first")

    error = await refused(client.sign_in(Credentials(email, password + "x")), HiveSyncError.Forbidden)
    expect(error.details.reason == "INVALID_CREDENTIALS", "a wrong password is called so")
    expect(error.details.correlation_id, "a refusal has a correlation ID")
    expect(password not in repr(error) + str(error), "an error holds no secret")

    credentials = Credentials(email, password)
    expect(email not in repr(credentials) and password not in repr(credentials), "credentials show nothing")
    account = await client.sign_in(credentials)
    await refused(client.sign_in(credentials), HiveSyncError.InvalidRequest)
    expect(await client.account() == account, "the session is the one that was started")
    expect(account.persistent, "the store keeps the session")
    return account, store


async def check_preview(client, token, directory):
    """Opens a preview, and checks each file by Python's own means."""
    preview = await client.open_preview(PreviewToken(token))
    target = directory / "preview"
    stats = await preview.save_to(str(target))
    files = preview.files()
    expect(stats.files == len(files) > 0, "all files were written")
    for file in files:
        content = (target / file.path).read_bytes()
        expect(len(content) == file.size, "a file has its size")
        expect(hashlib.sha256(content).hexdigest() == file.sha256, "a file has its digest")
    written = [path for path in target.rglob("*") if path.is_file()]
    expect(len(written) == len(files), "no other file was written")
    expect(preview.total_bytes() == stats.bytes, "the sizes add up")
    entry_point = preview.entry_point()
    expect(await preview.read(entry_point) == (target / entry_point).read_bytes(), "one file can be read alone")

    await refused(preview.save_to(str(target)), HiveSyncError)
    opaque = PreviewToken(token)
    expect(token not in repr(opaque) + str(opaque), "a token shows nothing")
    return {"files": stats.files, "bytes": stats.bytes}


class StuckStore(DictStore):
    """Never answers, and notes that it was told to stop."""

    def __init__(self):
        super().__init__()
        self.asked = asyncio.Event()
        self.stopped = asyncio.Event()

    async def load(self, slot):
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


async def check_stores(options):
    """What goes wrong in a store stays typed, and never keeps a call for ever."""
    expect(await check_secret_store(DictStore()) is None, "a store in Python does all that a store must do")
    broken = await HiveSync.with_store(options, BrokenStore(), CAPABILITIES)
    error = await refused(broken.account(), HiveSyncError.Storage)
    expect(error.kind == StorageErrorKind.LOCKED, "the failure of a store keeps its kind")

    store = StuckStore()
    stuck = await HiveSync.with_store(options, store, CAPABILITIES)
    error = await asyncio.wait_for(refused(stuck.account(), HiveSyncError.Storage), 30)
    expect(error.kind == StorageErrorKind.UNAVAILABLE, "a store that does not answer counts as failed")
    await asyncio.wait_for(store.stopped.wait(), 10)


async def check_cancelling(options):
    """A call ends in Rust when its task is cancelled, or its handle is used."""
    # One that was asked earlier and is not cancelled: the library gives it up by itself after five seconds.
    given_up = StuckStore()
    slow = await HiveSync.with_store(options, given_up, CAPABILITIES)
    waiting = asyncio.create_task(refused(slow.account(), HiveSyncError.Storage))
    await given_up.asked.wait()

    store = StuckStore()
    client = await HiveSync.with_store(options, store, CAPABILITIES)
    task = asyncio.create_task(client.account())
    await store.asked.wait()
    task.cancel()
    await asyncio.wait([task])
    expect(task.cancelled(), "a cancelled call ends")
    await asyncio.wait_for(store.stopped.wait(), 30)
    expect(not given_up.stopped.is_set(), "it ends because it was cancelled, not because its time was over")
    await waiting

    client = await HiveSync.in_memory(options)
    handle = CancelHandle()
    task = asyncio.create_task(client.sign_in(Credentials("nobody@example.org", "x"), handle))
    handle.cancel()
    await refused(task, HiveSyncError.Cancelled)
    await refused(client.me(handle), HiveSyncError.Cancelled)


async def check_ending(options, email, password, token, directory):
    """A client ends what it began."""
    async with await HiveSync.in_memory(options) as client:
        await client.sign_in(Credentials(email, password))
        stream = client.follow_notifications()
        expect((await anext(stream)).is_connected(), "the stream stands")
        waiting = asyncio.ensure_future(stream.next_batch())
    expect(await asyncio.wait_for(waiting, 10) == [], "a stream ends with the block of its client")
    expect([event async for event in stream] == [], "and stays so")

    # The account has signed in before, from other devices: more than one event comes at a time.
    stream = client.follow_notifications(0)
    while not (await anext(stream)).is_arrived():
        pass
    stream.cancel()
    expect([event async for event in stream] == [], "nothing comes after the end of a stream")

    # A download of so little may be over before it is ended.
    with mock.patch.object(Download, "cancel", autospec=True) as cancel_download:
        async with client:
            sync = client.sync((await client.me()).personal_team_id)
            preview = await client.open_preview(PreviewToken(token))
            download = preview.download(str(directory / "unwanted"))
    cancel_download.assert_called_once_with(download)
    await download
    expect([job async for job in sync] == [], "a sync does not begin after the end of its client")


class Logs(logging.Handler):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.texts = []
        self.logger = logging.getLogger("borders")
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        self.logger.addHandler(self)

    def emit(self, record):
        self.texts.append(record.getMessage())


def check_logs(logs, secrets):
    """The library said something, and no secret."""
    remove_log_sink()
    expect(any("call failed" in text for text in logs.texts), "a refused call is logged")
    expect(all(text.startswith("hivesync") for text in logs.texts), "only what is HiveSync's own is logged")
    for secret in secrets:
        expect(not any(secret in text for text in logs.texts), "no log holds a secret")


async def main(server_url):
    email, password = os.environ["HIVESYNC_EMAIL"], os.environ["HIVESYNC_PASSWORD"]
    token = os.environ["HIVESYNC_PREVIEW_TOKEN"]
    options = ClientOptions(server_url=server_url, device_name="Python", platform=Platform.DESKTOP)
    logs = Logs()
    log_to(logs.logger, LogLevel.DEBUG)
    account, store = await check_sign_in(options, email, password)

    # As after a restart: another client, with the same store.
    client = await HiveSync.with_store(options, store, CAPABILITIES)
    expect(await client.account() == account, "the session comes back from the store")
    with tempfile.TemporaryDirectory() as directory:
        preview = await check_preview(client, token, pathlib.Path(directory))
    await check_cancelling(options)
    await check_stores(options)
    with tempfile.TemporaryDirectory() as directory:
        await check_ending(options, email, password, token, pathlib.Path(directory))

    await client.sign_out(False)
    await refused(client.account(), HiveSyncError.SignedOut)
    expect(not any(slot.startswith("session/") for slot in store.slots), "signing out empties the store")
    check_logs(logs, [password, token, email])
    print(json.dumps({"ok": True, "device_id": account.device_id, "preview": preview}))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))

"""Which event loop runs what the library asks of Python."""

from __future__ import annotations

import asyncio
from typing import Optional

from . import hivesync_ffi

_stores: Optional[asyncio.AbstractEventLoop] = None


def run_stores_here() -> None:
    """Lets the coroutines of secret stores run on the present event loop.

    The library asks a store from threads of its own, which have no event loop.
    """
    global _stores
    _stores = asyncio.get_running_loop()


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if _stores is None:
            raise
        return _stores


# The binding knows either the present loop or one for everything.
hivesync_ffi._uniffi_get_event_loop = _loop


@hivesync_ffi._UNIFFI_FOREIGN_FUTURE_DROPPED_CALLBACK
def _stop(handle) -> None:
    """Has the loop of a store's coroutine stop it, because nobody waits for it any more."""
    (loop, coroutine) = hivesync_ffi._UNIFFI_FOREIGN_FUTURE_HANDLE_MAP.remove(handle)
    try:
        loop.call_soon_threadsafe(hivesync_ffi._uniffi_cancel_task, coroutine)
    except RuntimeError:
        pass  # The loop is closed, and all that ran on it has ended.


# The binding's own does not wake a loop that waits, which then stops the coroutine whenever it wakes next.
hivesync_ffi._uniffi_future_dropped_callback = _stop


async def check_secret_store(store: hivesync_ffi.SecretStore) -> Optional[str]:
    """Tries out all that a store must do, for its author's tests. Gives what it did wrong, if anything."""
    run_stores_here()
    return await hivesync_ffi.check_secret_store(store)

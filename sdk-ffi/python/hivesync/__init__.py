"""The HiveSync client for Python's asyncio. `README.md` beside this package shows how to begin."""

import asyncio
import atexit
import functools

from . import hivesync_ffi
from .hivesync_ffi import *  # noqa: F403 - what the binding exports is the interface
from .hivesync_ffi import HiveSync, __all__, shut_down  # noqa: F401

# A thread that came back into the interpreter while it ends would abort the process.
atexit.register(shut_down)


def _on_this_loop(call):
    """Lets a store's coroutines, and then all calls of the process, run on the event loop of this call.

    The library asks a store from threads of its own, which have no event loop.
    """

    @functools.wraps(call)
    async def on_this_loop(*arguments, **named):
        hivesync_ffi.uniffi_set_event_loop(asyncio.get_running_loop())
        return await call(*arguments, **named)

    return on_this_loop


HiveSync.with_store = staticmethod(_on_this_loop(HiveSync.with_store))
check_secret_store = _on_this_loop(hivesync_ffi.check_secret_store)

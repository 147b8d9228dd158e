"""The HiveSync client for Python's asyncio. `README.md` beside this package shows how to begin."""

import atexit

from . import hivesync_ffi
from .hivesync_ffi import *  # noqa: F403 - what the binding exports is the interface, but for what follows
from .client import HiveSync, OpenPreview
from .event_loop import check_secret_store
from .logs import log_to
from .streams import Download, JobWatch, NotificationStream, Publishing, Sync

__all__ = [*hivesync_ffi.__all__, "Sync", "log_to"]

# The binding makes its objects by these names, so that they are what the package exports.
for _extended in (Download, HiveSync, JobWatch, NotificationStream, OpenPreview, Publishing):
    setattr(hivesync_ffi, _extended.__name__, _extended)

# A thread that came back into the interpreter while it ends would abort the process.
atexit.register(hivesync_ffi.shut_down)

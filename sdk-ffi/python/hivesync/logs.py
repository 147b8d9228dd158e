"""The library's logs, among those of Python."""

from __future__ import annotations

import logging
from typing import List

from .hivesync_ffi import LogLevel, LogRecord, LogSink, set_log_sink

_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARN: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
}


class _ToLogger(LogSink):
    def __init__(self, logger: logging.Logger):
        self._logger = logger

    def write(self, records: List[LogRecord], dropped: int) -> None:
        for record in records:
            self._logger.log(_LEVELS[record.level], "%s: %s", record.target, record.text)
        if dropped:
            self._logger.warning("%d log records were dropped", dropped)


def log_to(logger: logging.Logger, level: LogLevel = LogLevel.INFO) -> None:
    """Passes what the library logs at this level and above to a logger. `remove_log_sink` ends it."""
    set_log_sink(_ToLogger(logger), level)

"""The log of the client in structlog: its records become structured events, with the application's processors."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from ..core.signals import raise_if_of_signal_handler
from ..errors import ConfigurationError

__all__ = ["StructlogHandler"]

_IS_PASSING: ContextVar[bool] = ContextVar("http_service_client.is_passing_to_structlog", default=False)


class StructlogHandler(logging.Handler):
    """Passes records on to structlog: ``logging.getLogger("http_service_client").addHandler(StructlogHandler())``.

    logger: a structlog logger; None for ``structlog.get_logger()``, as it is configured when a record comes.
    level: records below it are left out.

    The event is the text of the record, and its fields are those of the record (``http_event``, ``http_call_id``, …) and
    ``logger``, the name of its logger. Context variables that the application has bound are added by structlog's own
    `merge_contextvars`, since the processors run in the thread or task of the call.

    For applications whose structlog prints by itself. Where structlog goes through `logging` (`ProcessorFormatter`), it is not
    needed: `structlog.stdlib.ExtraAdder` has the fields. Needs the extra `structlog`; raises ConfigurationError without it.
    """

    def __init__(self, logger: Any = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        if logger is None:
            try:
                import structlog
            except ImportError:
                raise ConfigurationError(
                    "StructlogHandler needs structlog: pip install 'http-service-client[structlog]'"
                ) from None
            logger = structlog.get_logger()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        if _IS_PASSING.get():
            return  # structlog goes through `logging`, and has brought it back
        token = _IS_PASSING.set(True)
        try:
            fields = {name: value for name, value in vars(record).items() if name.startswith("http_")}
            if record.exc_info:
                fields["exc_info"] = record.exc_info
            log = getattr(
                self._logger, _METHODS[min(max(record.levelno, logging.DEBUG), logging.CRITICAL) // 10]
            )
            log(record.getMessage(), logger=record.name, **fields)
        except Exception:
            raise_if_of_signal_handler()
            self.handleError(record)
        finally:
            _IS_PASSING.reset(token)


_METHODS = ("", "debug", "info", "warning", "error", "critical")

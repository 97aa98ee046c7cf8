"""Runs gunicorn, as its users do."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["gunicorn"]


@contextmanager
def gunicorn(app: str, *options: str, folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a gunicorn that serves the app of a module in this folder, with one worker.

    environment: its HOME is where gunicorn puts its control socket.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", *options, app],
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        log, address = "", None
        try:
            while address is None:
                line = process.stderr.readline()
                assert line, f"gunicorn ended: {log}"
                log += line
                address = re.search(r"Listening at: (http://\S+)", line)
            yield address[1]
        finally:
            process.send_signal(signal.SIGTERM)
            log += process.communicate(timeout=30)[1]
    assert "Traceback" not in log, log
    assert "RuntimeWarning" not in log, log

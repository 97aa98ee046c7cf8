"""A command that is a process of its own in a pseudo-terminal: to interrupt it, or to see how it draws and erases."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from kit.command_line import COMMAND, environment

__all__ = ["HIDE", "SEQUENCE", "SHOW", "Terminal"]

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal:
    """A command in a pseudo-terminal of its own.   arguments: of the program."""

    def __init__(self, *arguments: str, columns: int = 80, rows: int = 40) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self.columns = columns
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # A background job of a shell ignores Ctrl-C, and so would the process that it starts.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments],
                env=environment(),
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        os.close(theirs)
        self.shown = ""

    def read_until(self, text: str | None = None) -> str:
        """The output until this text appears, or until the end."""
        while text is None or text not in self.shown:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # EIO: the other side was closed
                data = b""
            if not data:
                break
            self.shown += data.decode("utf-8", "replace")
        return self.shown

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

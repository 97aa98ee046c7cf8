"""Async clients, each in a process of its own that has done nothing else: `python -m benchmarks.alone NAME WAY URL` is one.

What a process did before changes what asyncio costs in it. asyncio allocates 256 KB before each read, whatever arrives. For a
block of that size, glibc asks the kernel for fresh memory each time, and gives it back, until the process has once freed a
block that is as large (mallopt(3), M_MMAP_THRESHOLD). A worker that has seen small bodies only is in the first state, a service
that has seen large ones, and the process of all other tables, is in the second.
"""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from .async_peers import async_calls
from .clients import OURS, OnLoop
from .measuring import Sample, Work
from .scenarios import Scenario
from .server import raise_file_limit

_NAMES = (OURS, "aiohttp", "httpx", "aiosonic", "pyreqwest", "wreq")
_AT_ONCE = tuple(name for name in _NAMES if name != "httpx")  # it takes minutes


@contextmanager
def asynchronous(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() on one kept-alive connection."""
    with ExitStack() as stack:
        yield {
            name: _apart(stack, name, "in turn", base) for name in _NAMES if importlib.util.find_spec(name)
        }


@contextmanager
def concurrent(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() by 1,000 tasks at once."""
    with ExitStack() as stack:
        yield {
            name: _apart(stack, name, "at once", base) for name in _AT_ONCE if importlib.util.find_spec(name)
        }


def _apart(stack: ExitStack, name: str, way: str, base: str) -> Work:
    """The work of a contender, in a new process, which measures itself."""
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.alone", name, way, f"{base}/orders/42"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )

    def work(times: int) -> Sample:
        assert process.stdin is not None
        assert process.stdout is not None
        print(times, file=process.stdin, flush=True)
        cpu, wall = process.stdout.readline().split()
        return Sample(float(cpu), float(wall))

    return work


def main(name: str, way: str, url: str) -> None:
    """Work as often as each line of the input says, and print the CPU and wall time of one repetition."""
    raise_file_limit()
    with OnLoop() as on_loop:
        call = async_calls(on_loop, Scenario(url), [name])[name]
        work = on_loop.repeated(call) if way == "in turn" else on_loop.at_once(call)
        for line in sys.stdin:
            times = int(line)
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            work(times)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            print(cpu / times, wall / times, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

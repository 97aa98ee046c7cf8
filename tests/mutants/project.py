"""The checkout: the files of the package and the modules of tests, found by walking, and private copies of both."""

from __future__ import annotations

import compileall
import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory

__all__ = ["Project", "area_of"]

_RECORDS = ".mutants"
_TOOL = Path(__file__).resolve().parent
_NOT_COPIED = (
    ".git",
    ".tox",
    ".*venv",
    "venv",
    _RECORDS,
    ".*_cache",
    "__pycache__",
    "build",
    "dist",
    "_build",
)


@dataclass(frozen=True)
class Project:
    """A checkout with one package, and its tests in `tests`.

    root: its folder.   package: name of the package's folder in it.
    """

    root: Path
    package: str

    @cached_property
    def sources(self) -> dict[str, bytes]:
        """The files of the package, by their path below it."""
        top = self.root / self.package
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in sorted(top.rglob("*.py"))}

    @cached_property
    def test_modules(self) -> list[str]:
        """The files of tests, by their path below the checkout; without this tool's own, which run mutants."""
        paths = sorted((self.root / "tests").rglob("test_*.py"))
        return [path.relative_to(self.root).as_posix() for path in paths if _TOOL not in path.parents]

    def record_path(self, module: str, *, lines: bool) -> Path:
        """Where to keep how long the tests of this module take, and, with `lines`, what they execute.

        Another path whenever that may have changed.
        """
        kind = "lines" if lines else "seconds"
        return self.root / _RECORDS / f"{Path(module).stem}-{self._digests[module]}.{kind}.json"

    def forget_old_records(self) -> None:
        """Delete those of another state of the checkout."""
        kept = {
            self.record_path(module, lines=lines) for module in self.test_modules for lines in (True, False)
        }
        for path in (self.root / _RECORDS).glob("*.json"):
            if path not in kept:
                path.unlink()

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Of each module of tests. Read once: a run records the copies that it made, while the originals may be edited."""
        return {
            module: hashlib.sha256(
                self._shared + module.encode() + (self.root / module).read_bytes()
            ).hexdigest()[:16]
            for module in self.test_modules
        }

    @cached_property
    def _shared(self) -> bytes:
        """A digest of what all tests share: the package, their helpers, the settings, this tool, and Python."""
        digest = hashlib.sha256(sys.version.encode())
        helpers = [path for path in (self.root / "tests").rglob("*.py") if not path.match("test_*.py")]
        settings = [path for path in self.root.iterdir() if path.name in ("setup.cfg", "pyproject.toml")]
        for path in sorted([*(self.root / self.package).rglob("*.py"), *helpers, *settings]):
            digest.update(path.relative_to(self.root).as_posix().encode() + path.read_bytes())
        return digest.digest()

    @contextmanager
    def copies(self, count: int) -> Iterator[list[Path]]:
        """Folders, each with a copy in `checkout`: a run does not change the original, nor see changes made meanwhile."""
        with TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as top:
            folders = [Path(top) / str(n) for n in range(count)]
            for folder in folders:
                copy = folder / "checkout"
                shutil.copytree(self.root, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED), symlinks=True)
                # By default Python recognises a changed source by its size and its time in seconds. Neither differs
                # when 1 becomes 2 within a second, so compiled code is checked by a hash of the source instead.
                by_hash = PycInvalidationMode.CHECKED_HASH
                compileall.compile_dir(copy / self.package, quiet=2, invalidation_mode=by_hash)
            yield folders


def area_of(file: str) -> str:
    """The folder of a file of the package: its room. "." is the package's own."""
    return Path(file).parent.as_posix()

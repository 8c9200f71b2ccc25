"""Where compiled kernels are cached between runs; must be chosen before numba is imported.

A cached kernel has its callees compiled into it, and names classes of ours, so it is only good for
the source that it was compiled from: the name of the folder says which.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from hashserver import __version__

VARIABLE = "NUMBA_CACHE_DIR"
_ROOM = 64 << 20  # bytes that all kernels take, and some
_OLDER_KEPT = 2  # caches of other sources: of a version to go back to, or of another branch


def choose_cache(folder: Path | None = None, *, create: bool = False) -> None:
    """Choose where compiled kernels are cached, before numba is imported.

    The first place that can be written is taken: the one that NUMBA_CACHE_DIR names, beside the
    installed source, the data folder, the user's folder for caches, and a private temporary folder.
    Services often have no home folder and may not write to the installation.

    Args:
        folder: the data folder, for commands that have one.
        create: create it if it is missing, because the command will do so anyway.
    """
    given = os.environ.get(VARIABLE)
    if given and _is_writable(Path(given)):
        return
    source = _source()
    name = f"kernels-{hashlib.sha256(os.fsencode(source)).hexdigest()[:8]}-"
    stamp = _stamp(source)
    chosen = _first_writable(place / (name + stamp) for place in _places(source, folder, create))
    if given:
        print(f"hashserver: {VARIABLE}: {given} cannot be written; using {chosen}", file=sys.stderr)
    os.environ[VARIABLE] = os.fspath(chosen)
    _forget_older(chosen, name)


def cache_home() -> Path | None:
    """The user's folder for caches; None for a user without a home."""
    given = os.environ.get("XDG_CACHE_HOME")
    if given and Path(given).is_absolute():
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        return None


def _source() -> Path:
    spec = find_spec("hashcore")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places or ["hashcore"])))


def _stamp(source: Path) -> str:
    """What tells the sources of all kernels, with their compiler, from any others."""
    try:
        compiler = version("numba")
    except PackageNotFoundError:
        compiler = "unknown"
    digest = hashlib.sha256(f"{__version__} {compiler}".encode())
    for path in sorted(source.rglob("*.py")):
        digest.update(os.fsencode(path.relative_to(source)) + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _places(source: Path, folder: Path | None, create: bool) -> Iterator[Path]:
    yield source / "__pycache__"
    if folder is not None and (create or folder.is_dir()):
        yield Path(os.path.abspath(folder))
    home = cache_home()
    if home is not None:
        yield home / "hashserver"
    own = _own_temporary_folder()
    if own is not None:
        yield own


def _own_temporary_folder() -> Path | None:
    """A temporary folder that lasts, and in which nobody else can put code to run here."""
    try:
        place = Path(tempfile.gettempdir()) / f"hashserver-{os.getuid()}"
        with suppress(FileExistsError):
            place.mkdir(mode=0o700)
        status = place.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return place if ours else None


def _first_writable(places: Iterator[Path]) -> Path:
    """The first place that can be written and has room, or else that can be written at all."""
    without_room = None
    for place in places:
        if _is_writable(place):
            if shutil.disk_usage(place).free >= _ROOM:
                return place
            without_room = without_room or place
    if without_room is not None:
        return without_room
    own = Path(tempfile.mkdtemp(prefix="hashserver-kernels-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    return own


def _is_writable(place: Path) -> bool:
    """Whether files can be made in a folder, which is created."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _forget_older(chosen: Path, name: str) -> None:
    """Delete the caches of earlier sources of the same installation, but for the newest few."""
    with suppress(OSError):
        others = [each for each in chosen.parent.glob(f"{name}*") if each != chosen]
        for each in sorted(others, key=lambda each: each.stat().st_mtime)[:-_OLDER_KEPT]:
            shutil.rmtree(each, ignore_errors=True)

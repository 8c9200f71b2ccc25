"""Backing up a data folder while it is in use, verifying a backup, and restoring it.

A backup is a folder with the store (`data.mdb`), the ledger (`ledger.sqlite`), the secret that keys
are hashed with (`key-secret`), and `manifest.json`, which has the sizes and SHA-256s of the others.
It is written under another name and renamed when all of it is on disk, and so is a restored folder.

The ledger is copied first and then the store, so the store has published every generation that a
hit in the ledger names, and no generation number is used twice. The store has what was loaded while
the ledger was being copied; the ledger does not have what was hit meanwhile.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from hashcore import Store
from hashserver import __version__
from hashserver.data_folder.opening import STORE_FILE
from hashserver.errors import BadInput, Trouble
from hashserver.ledger import Ledger
from hashserver.ledger.database import FILE as LEDGER_FILE
from hashserver.ledger.fold import fold
from hashserver.parties.keys import SECRET_FILE
from hashserver.times import timestamp

MANIFEST = "manifest.json"
FORMAT = 1
_BLOCK = 4 << 20

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, the bytes done, and the bytes in total."""


class BackupError(Trouble):
    """A backup cannot be made, read or restored; the message says why and what to do."""


class BackupRefused(BadInput, BackupError):
    """The request would overwrite something, or names a folder that is not a backup."""


def _no_progress(_what: str, _done: int, _total: int) -> None:
    return None


def back_up(ledger: Ledger, store: Store, target: Path, on_progress: OnProgress = _no_progress) -> dict[str, Any]:
    """Copy everything in a data folder into a new folder.

    Args:
        ledger, store: of that folder, open.
        target: the folder to create.
        on_progress: called now and then.

    Returns:
        The manifest.

    Raises:
        BackupRefused: the target exists, or another backup is being written to it.
        BackupError, LedgerError, StoreError: the backup failed, and nothing is left of it.
    """
    if os.path.lexists(target):
        raise BackupRefused(f"{target} exists already; nothing was overwritten. Name a folder that does not exist")
    with _unfinished(target) as folder:
        fold(ledger)
        ledger.copy_to(folder / LEDGER_FILE, lambda done, total: on_progress("ledger", done, total))
        secret = ledger.folder / SECRET_FILE
        if secret.exists():  # after the ledger: every key in it has its secret by then
            _write(folder / SECRET_FILE, secret.read_bytes())
        _copy_store(store, folder, on_progress)
        with Store(folder, create=False) as copy, copy.read() as snapshot:
            generation = snapshot.generation
        (folder / "lock.mdb").unlink()  # from opening the copy
        files = {}
        for file in sorted(folder.iterdir()):
            file.chmod(0o600)
            files[file.name] = {"bytes": file.stat().st_size, "sha256": _digest(file, on_progress)}
        manifest = {
            "format": FORMAT,
            "program": __version__,
            "created": timestamp(time.time()),
            "generation": generation,
            "files": files,
        }
        _write(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2) + b"\n")
        for path in (*folder.iterdir(), folder):
            _synchronise(path)
        _publish(folder, target)
    return manifest


def read_manifest(backup: Path) -> dict[str, Any]:
    """The manifest of a backup.

    Raises:
        BackupRefused: the folder is not a backup.
        BackupError: the manifest cannot be read.
    """
    file = backup / MANIFEST
    if not file.is_file():
        raise BackupRefused(
            f"{backup} is not a backup: it has no {MANIFEST}; name a folder that `store backup` created"
        )
    try:
        manifest = orjson.loads(file.read_bytes())
        files = {str(name): (int(each["bytes"]), str(each["sha256"])) for name, each in manifest["files"].items()}
        version = manifest["format"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"{file} cannot be read ({error!r}); use another backup") from error
    if version != FORMAT:
        raise BackupError(f"{backup} has backup format {version}, but this program reads format {FORMAT}")
    if {STORE_FILE, LEDGER_FILE} - files.keys() or any(Path(name).name != name for name in files):
        raise BackupError(f"{file} does not list the files of a backup; use another backup")
    return dict(manifest)


def problems_of_files(backup: Path, on_progress: OnProgress = _no_progress) -> list[str]:
    """Compare the files of a backup with its manifest; a sentence for each that differs.

    Raises:
        BackupError: see `read_manifest`.
    """
    problems = []
    for name, expected in read_manifest(backup)["files"].items():
        file = backup / name
        if not file.is_file():
            problems.append(f"{file} is missing")
        elif file.stat().st_size != expected["bytes"]:
            problems.append(f"{file} has {file.stat().st_size:,} bytes instead of {expected['bytes']:,}")
        elif _digest(file, on_progress) != expected["sha256"]:
            problems.append(f"{file} is not what was backed up: its SHA-256 differs from that in {MANIFEST}")
    return problems


def restore(backup: Path, data_dir: Path, on_progress: OnProgress = _no_progress) -> dict[str, Any]:
    """Create a data folder from a backup.

    Returns:
        The backup's manifest.

    Raises:
        BackupRefused: the data folder is not empty, or `backup` is not a backup.
        BackupError: the backup is damaged or could not be copied; nothing is left of the copy.
    """
    manifest = read_manifest(backup)
    data_dir = data_dir.resolve()
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise BackupRefused(
            f"{data_dir} is not empty; nothing was overwritten. Move it away, or name another --data-dir"
        )
    if os.path.ismount(data_dir):
        raise BackupRefused(
            f"{data_dir} is a mount point, so no folder can be renamed to it; name a folder below it"
        )
    with _unfinished(data_dir) as folder:
        for name, expected in manifest["files"].items():
            if not (backup / name).is_file():
                raise BackupError(f"{backup / name} is missing; use another backup. Nothing was restored")
            shutil.copyfile(backup / name, folder / name)
            (folder / name).chmod(0o600)
            if _digest(folder / name, on_progress) != expected["sha256"]:
                raise BackupError(
                    f"{backup / name} is not what was backed up: its SHA-256 differs from that in {MANIFEST}; "
                    "use another backup. Nothing was restored"
                )
            _synchronise(folder / name)
        _synchronise(folder)
        _publish(folder, data_dir)
    return manifest


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder beside the target to write to, which is removed afterwards unless it was published.

    A process that is killed leaves it behind, unlocked, and the next one with that target empties
    it.
    """
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f".{target.name}.unfinished"
    folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(
                f"another process is writing to {target}; wait for it, or name another folder"
            ) from None
        for each in folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        try:
            yield folder
        finally:
            with suppress(FileNotFoundError):  # published
                shutil.rmtree(folder)
    finally:
        os.close(lock)


def _publish(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)  # replaces an empty folder, but no other
    except OSError as error:
        raise BackupRefused(
            f"cannot rename {folder} to {target}: {error.strerror}; nothing was overwritten"
        ) from error
    _synchronise(target.absolute().parent)


def _copy_store(store: Store, folder: Path, on_progress: OnProgress) -> None:
    total = store.bytes_used
    with ThreadPoolExecutor(1) as pool:
        copying = pool.submit(store.copy_to, folder)
        while not copying.done():
            done = sum(file.stat().st_size for file in folder.glob(f"**/{STORE_FILE}") if file.exists())
            on_progress("store", min(done, total), total)
            time.sleep(0.05)
        copying.result()
    on_progress("store", total, total)


def _digest(file: Path, on_progress: OnProgress) -> str:
    digest, done, size = hashlib.sha256(), 0, file.stat().st_size
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            done += len(block)
            on_progress(f"SHA-256 of {file.name}", done, size)
    return digest.hexdigest()


def _write(file: Path, content: bytes) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

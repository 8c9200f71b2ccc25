"""Whether a data file has all the pages that its store uses.

A page of the map that lies behind the end of the file ends the process with SIGBUS when it is read,
and no exception can be raised for it. A file that was cut short is therefore refused when it is
opened, and `catch_bus_errors` says what happened if a file is cut short while it is mapped.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from hashcore.errors import StoreCorrupt

DATA_FILE = "data.mdb"

_PROBE = """
import sys, lmdb
with lmdb.open(sys.argv[1], readonly=True, lock=False, create=False) as environment:
    with environment.begin(buffers=True) as transaction:
        for _, value in transaction.cursor():
            sum(value[::4096]) + value[-1] if len(value) else 0
"""
_BUS_ERROR = (
    b"hashserver: a file of the data folder was cut short, or its disk failed, while it was in use (bus error); "
    b"nothing more is answered. Check the disk, run hashserver store verify, and restore a backup if it finds "
    b"problems\n"
)
_TROUBLE = 3  # exit code


def check_whole(folder: Path, bytes_used: int) -> None:
    """Refuse a data file from which pages in use were cut off.

    LMDB does not write pages that were allocated and freed again within one commit, so a file may
    be shorter than the number of its last page says and yet be whole. Such a file is read from its
    first to its last entry by another process, which a missing page may end.

    Args:
        folder: the folder of the data file.
        bytes_used: the size of the file according to its meta page.

    Raises:
        StoreCorrupt: it was cut short; the message says what to do.
    """
    file = folder / DATA_FILE
    size = file.stat().st_size
    if size >= bytes_used:
        return
    # The rest of a page that the end of the file cuts in two reads as zeros.
    if size % mmap.PAGESIZE or not _has_all_pages(folder):
        raise StoreCorrupt(
            f"{file} was cut short: it has {size:,} bytes, and its store uses up to {bytes_used:,}; restore it "
            "from a backup with hashserver store restore"
        )


def _has_all_pages(folder: Path) -> bool:
    probe = [sys.executable, "-c", _PROBE, os.fspath(folder)]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own program


def check_not_empty(folder: Path) -> None:
    """Refuse an empty data file, which would otherwise become a new store.

    Raises:
        StoreCorrupt: it has no content; the message says what to do.
    """
    file = folder / DATA_FILE
    if file.exists() and not file.stat().st_size:
        raise StoreCorrupt(
            f"{file} is empty; restore it from a backup with hashserver store restore, or delete it if this "
            "store never had any sets"
        )


def catch_bus_errors() -> None:
    """Let a bus error end the process with a sentence and exit code 3, instead of without a word.

    A handler in Python would never run: the interpreter handles signals between its instructions,
    and the one that failed is repeated for ever. So the handler is compiled.
    """
    set_handler = ctypes.CDLL(None).signal
    set_handler.argtypes, set_handler.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    set_handler(signal.SIGBUS, _handler().address)


def _handler() -> Any:
    from llvmlite import ir
    from numba import cfunc, types
    from numba.extending import intrinsic

    def say_and_end(typing_context: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            module = builder.module
            int32, size, text = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()
            constant = ir.Constant(ir.ArrayType(ir.IntType(8), len(_BUS_ERROR)), bytearray(_BUS_ERROR))
            sentence = ir.GlobalVariable(module, constant.type, name="hashserver_bus_error")
            sentence.linkage, sentence.global_constant, sentence.initializer = "internal", True, constant
            # Both may be called in a signal handler, see signal-safety(7).
            write = ir.Function(module, ir.FunctionType(size, [int32, text, size]), name="write")
            end = ir.Function(module, ir.FunctionType(ir.VoidType(), [int32]), name="_exit")
            standard_error = ir.Constant(int32, 2)
            length = ir.Constant(size, len(_BUS_ERROR))
            builder.call(write, [standard_error, builder.bitcast(sentence, text), length])
            builder.call(end, [ir.Constant(int32, _TROUBLE)])
            return context.get_dummy_value()

        return types.void(), generate

    ended: Any = intrinsic(say_and_end)

    @cfunc(types.void(types.int32), cache=True)
    def handle(number: int) -> None:
        ended()

    return handle

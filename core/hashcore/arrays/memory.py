"""Raw memory for compiled code: unaligned loads, stores and prefetches by address.

Kernels read LMDB values in place through these. An address is valid only as long as its owner is
alive: the array, or the read transaction behind a `hashcore.reading.snapshot.Snapshot`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

_U8, _U32, _U64 = types.uint8, types.uint32, types.uint64
_U16 = types.uint16
_U8_POINTER = types.CPointer(_U8)  # type: ignore[no-untyped-call]


def _instruction(function: Any) -> Any:
    # numba's own types for `intrinsic` describe the undecorated function, with its typing context.
    return intrinsic(function)


def _loader(numba_type: Any, bits: int) -> Any:
    def typed(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            return builder.load(pointer, align=1)

        return numba_type(_U64), codegen

    return _instruction(typed)


load_u8 = _loader(_U8, 8)
load_u32 = _loader(_U32, 32)
load_u64 = _loader(_U64, 64)


@_instruction
def store_u64(typingctx: Any, address: Any, value: Any) -> Any:
    """Write a 64-bit word to an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(_U64, _U64), codegen


@_instruction
def pointer_u8(typingctx: Any, address: Any) -> Any:
    """A pointer to bytes, for `numba.carray`: unlike loads by address, loops over it vectorise."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return _U8_POINTER(_U64), codegen


@_instruction
def byteswap_u64(typingctx: Any, value: Any) -> Any:
    """Reverse the bytes of a word: digests sort from the first one on, words from the last."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bswap(args[0])

    return _U64(_U64), codegen


@_instruction
def popcount_u64(typingctx: Any, value: Any) -> Any:
    """Count the set bits of a 64-bit word (LLVM `ctpop`, which vectorises)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return _U64(_U64), codegen


@_instruction
def square_u16(typingctx: Any, left: Any, right: Any) -> Any:
    """The square of the difference of two bytes, in 16 bits, so that many fit into a register."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(16)
        difference = builder.sub(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.mul(difference, difference)

    return _U16(_U8, _U8), codegen


@_instruction
def add_u16(typingctx: Any, left: Any, right: Any) -> Any:
    """The sum of two 16-bit numbers, at most 65,535 (`paddusw` in vectors)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(16)
        function_type = ir.FunctionType(wide, [wide, wide])
        return builder.call(builder.module.declare_intrinsic("llvm.uadd.sat", [wide], function_type), args)

    return _U16(_U16, _U16), codegen


@_instruction
def add_square_u32(typingctx: Any, total: Any, left: Any, right: Any) -> Any:
    """Add the square of the difference of two bytes, in the form that LLVM turns into `pmaddwd`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        narrow, wide = ir.IntType(16), ir.IntType(32)
        difference = builder.sub(builder.zext(args[1], narrow), builder.zext(args[2], narrow))
        difference = builder.sext(difference, wide)
        return builder.add(args[0], builder.mul(difference, difference))

    return _U32(_U32, _U8, _U8), codegen


@_instruction
def multiply_high_u64(typingctx: Any, left: Any, right: Any) -> Any:
    """The upper 64 bits of a 64 x 64 bit product: maps a hash to `range(right)` without a division.

    Source: Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return _U64(_U64, _U64), codegen


@_instruction
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask the CPU to fetch the cache line at an address; never faults."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte_pointer = ir.IntType(8).as_pointer()
        pointer = builder.inttoptr(args[0], byte_pointer)
        i32 = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, i32, i32, i32])
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, function_type, "llvm.prefetch.p0"
        )
        builder.call(function, [pointer, ir.Constant(i32, 0), ir.Constant(i32, 3), ir.Constant(i32, 1)])
        return context.get_dummy_value()

    return types.void(_U64), codegen


def as_writable(array: NDArray[Any]) -> NDArray[Any]:
    """View a contiguous read-only array as a writable one, without copying it.

    numba compiles a kernel again for read-only arrays, and the first request would have to wait for
    that. Kernels never write to their input arrays.
    """
    if array.flags.writeable:
        return array
    if array.nbytes == 0:
        return np.empty(array.shape, array.dtype)
    memory: Any = (ctypes.c_uint8 * array.nbytes).from_address(array.ctypes.data)
    memory.owner = array  # the view keeps `memory` alive, and that keeps the array
    view: NDArray[Any] = np.frombuffer(memory, array.dtype).reshape(array.shape)
    return view

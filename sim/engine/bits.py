"""Instructions on 64-bit masks that Python's operators do not spell."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing: Any, mask: Any) -> Any:
    """Place of the lowest bit of an int64 mask that is set; 64 where none is."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), emit


@intrinsic  # type: ignore[untyped-decorator]
def popcount(typing: Any, word: Any) -> Any:
    """Bits of a uint64 that are set."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), emit


@intrinsic  # type: ignore[untyped-decorator]
def rare(typing: Any, condition: Any) -> Any:
    """The same truth, of which the compiler is told that it is rare: registers are kept for what is not."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(1), [ir.IntType(1), ir.IntType(1)])
        expect = builder.module.declare_intrinsic("llvm.expect", [ir.IntType(1)], kind)
        return builder.call(expect, [arguments[0], ir.Constant(ir.IntType(1), 0)])

    return types.boolean(types.boolean), emit

"""Three things that numba does not spell: an index known not to be negative, an array without its count, a prefetch."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from siloom.sim.jit import inline_kernel


@inline_kernel
def u(index: int) -> np.uint64:
    """An index that is known not to be negative: numba leaves out its look at the sign."""
    return np.uint64(index)


@intrinsic  # type: ignore[untyped-decorator]
def borrow(typing: Any, array: Any) -> Any:
    """The same array without a count of references; valid only while its owner lives: borrow arguments alone.

    Each array of a call that is not inlined costs two atomic operations, which a kernel with thirty
    arrays and a hundred thousand calls feels.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.return_type)(context, builder, value=arguments[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), emit


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Have the line of an array's element at hand by the time it is written; beyond the array nothing happens."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, value=arguments[0]).data
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        # To write, kept in every cache, data.
        builder.call(fetch, [builder.bitcast(builder.gep(data, [arguments[1]]), byte), word(1), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit

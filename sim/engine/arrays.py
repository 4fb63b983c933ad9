"""Two ways to spare compiled loops what numba does at every access of an array and every call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils
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

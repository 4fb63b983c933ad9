"""Real training in the hardware's arithmetic, for PyTorch models of your own; needs the extra ``train``.

Raises (when imported):
    MissingPartError: torch is not installed, with the line that installs it.
"""

from siloom.sim.errors import MissingPartError

try:
    import torch as _torch  # noqa: F401  absolute: PyTorch, not this file
except ImportError:
    raise MissingPartError("siloom.torch: needs PyTorch: pip install 'siloom[train]'") from None

from siloom.workloads.npz_trace import save_trace as save_trace
from siloom.workloads.torch.convert import convert as convert
from siloom.workloads.torch.products import Meter as Meter
from siloom.workloads.torch.products import metered as metered
from siloom.workloads.torch.record import record as record

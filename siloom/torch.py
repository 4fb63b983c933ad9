"""Real training in the hardware's arithmetic, for PyTorch models of your own; needs the extra ``train``.

A model is converted, then trained as any other; a meter counts what went beyond a range, and which scores attention
computed:

>>> from torch import nn, ones, optim
>>> layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
>>> model = convert(nn.TransformerEncoder(layer, 1), "int8:acc=24", attention="sanger:threshold=0.02")
>>> optimizer = optim.AdamW(model.parameters())
>>> with metered() as meter:
...     model(ones(1, 8, 16)).square().sum().backward()
>>> optimizer.step()
>>> meter.counts["layers.0.linear1", "grad_weight"].sums
512
>>> meter.kept["layers.0.self_attn"].allowed
128

Raises (when imported):
    MissingPartError: torch is not installed, with the line that installs it.
"""

from siloom.sim.errors import MissingPartError

try:
    import torch as _torch  # noqa: F401  absolute: PyTorch, not this file
except ImportError:
    raise MissingPartError("siloom.torch: needs PyTorch: pip install 'siloom[train]'") from None

from siloom.workloads.npz_trace import save_trace as save_trace
from siloom.workloads.torch.convert import CautionWarning as CautionWarning
from siloom.workloads.torch.convert import attended as attended
from siloom.workloads.torch.convert import attention_loss as attention_loss
from siloom.workloads.torch.convert import convert as convert
from siloom.workloads.torch.learnt import model_state as model_state
from siloom.workloads.torch.left_out import LeftInFp32Warning as LeftInFp32Warning
from siloom.workloads.torch.loss_scale import LossScale as LossScale
from siloom.workloads.torch.meter import Meter as Meter
from siloom.workloads.torch.meter import metered as metered
from siloom.workloads.torch.plan import Plan as Plan
from siloom.workloads.torch.products import NotFiniteError as NotFiniteError
from siloom.workloads.torch.record import record as record
from siloom.workloads.torch.training import train as train

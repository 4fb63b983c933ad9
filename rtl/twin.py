"""From a Contract to the ports of its Amaranth twin: widths are taken over, never typed again."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape, ShapeLike, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.sim.contract import Contract, Stream


def layout(side: Stream) -> data.StructLayout:
    """The payload of one side: a field per port, an array where a port has several lanes."""
    fields: dict[str, ShapeLike] = {}
    for port in side.ports:
        shape = Shape(port.format.bits, port.format.signed)
        fields[port.name] = shape if port.lanes == 1 else data.ArrayLayout(shape, port.lanes)
    return data.StructLayout(fields)


def streams(contract: Contract) -> dict[str, Any]:
    """The members of a twin's signature: stream ``i`` in, stream ``o`` out."""
    return {
        "i": In(stream.Signature(layout(contract.inputs))),
        "o": Out(stream.Signature(layout(contract.outputs))),
    }


class Twin(wiring.Component):
    """A component that keeps a Contract, in the ``sync`` clock domain.

    Attributes:
        i: Stream in; a beat is taken in a cycle in which ``valid`` and ``ready`` are high.
        o: Stream out; once valid, it stays so, unchanged, until ``ready``.
        contract: The promise. The body reads latency, interval and capacity from it.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self, contract: Contract) -> None:
        """Make the ports."""
        self.contract = contract
        super().__init__(streams(contract))


def ports(twin: Any) -> dict[str, tuple[Value, None]]:
    """Verilog names of the streams, as AXI-Stream has them; directions follow from who drives them."""
    signals = {
        "s_axis_tdata": Value.cast(twin.i.payload),
        "s_axis_tvalid": twin.i.valid,
        "s_axis_tready": twin.i.ready,
        "m_axis_tdata": Value.cast(twin.o.payload),
        "m_axis_tvalid": twin.o.valid,
        "m_axis_tready": twin.o.ready,
    }
    return {name: (value, None) for name, value in signals.items()}

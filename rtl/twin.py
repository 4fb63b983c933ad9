"""From a Contract to the ports of its Amaranth twin: widths are taken over, never typed again."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Shape, ShapeLike, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from siloom.rtl.names import sink_prefix, source_prefix
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


def stream_sides(component: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The streams into a component and those out of it, by name; it has no other ports."""
    ins: dict[str, Any] = {}
    outs: dict[str, Any] = {}
    for name, member in component.signature.members.items():
        if not member.is_signature or not isinstance(member.signature, stream.Signature):
            raise TypeError(f"every port of {type(component).__name__} is a stream, but '{name}' is not")
        (ins if member.flow == In else outs)[name] = getattr(component, name)
    return ins, outs


def ports(component: Any) -> dict[str, tuple[Value, None]]:
    """Verilog names of all streams' wires, as AXI-Stream has them; directions follow from who drives them."""
    ins, outs = stream_sides(component)
    prefixed = {sink_prefix(name): side for name, side in ins.items()}
    prefixed |= {source_prefix(name): side for name, side in outs.items()}
    found: dict[str, tuple[Value, None]] = {}
    for prefix, side in prefixed.items():
        wires = {"tdata": Value.cast(side.payload), "tvalid": side.valid, "tready": side.ready}
        found |= {f"{prefix}_{wire}": (value, None) for wire, value in wires.items()}
    return found

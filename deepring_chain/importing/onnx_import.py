"""A network from an ONNX file as a plain `nn.Sequential`, which then is split and quantised as any other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deepring_chain.errors import ModelError
from deepring_chain.importing.onnx_file import read_graph
from deepring_chain.importing.onnx_modules import refuse_node, to_modules
from deepring_chain.model.front.blocks import Residual
from deepring_chain.model.front.nodes import Graph, Node, UnsupportedNode, as_bias, shape_of, weight

Modules = OrderedDict[str, nn.Module]

NHWC_TO_NCHW = [0, 3, 1, 2]


@dataclass(frozen=True)
class ImportedModel:
    """A network from a file.

    Attributes:
        model: in evaluation mode; its modules have the names of the nodes.
        item_shape: of one input item as the model takes it: [C, H, W] of an image.
    """

    model: nn.Sequential
    item_shape: tuple[int, ...]


def import_onnx(path: Path) -> ImportedModel:
    """Reads a network.

    Args:
        path: an ONNX file with one float input [N, ...] and one output, a chain of the operators in
            `onnx_modules.HANDLERS`, or with branches that an Add joins: residual blocks. Images are [N, C, H, W]; a
            Transpose from [N, H, W, C] at the start is left out.

    Raises:
        UnsupportedModule: an operator that cannot be made exact, with its node's name.
        ModelError: no file, a damaged one, or a graph of another form.
    """
    graph = read_graph(path)
    importer = _Importer(graph)
    start = importer.start()
    return ImportedModel(importer.network(start), graph.shapes[start][1:])


class _Importer:
    """Walks through a graph from its input to its output."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._readers: dict[str, list[Node]] = {}
        useful = _useful_nodes(graph)
        for node in useful:
            for name in node.inputs:
                if name and name not in graph.constants:
                    self._readers.setdefault(name, []).append(node)

    def start(self) -> str:
        """The value at which the modules start: the input, or what a Transpose to torch's order makes of it."""
        readers = self._readers.get(self._graph.input, [])
        if [node.op for node in readers] == ["Transpose"] and readers[0].attributes.get("perm") == NHWC_TO_NCHW:
            return readers[0].outputs[0]
        return self._graph.input

    def network(self, start: str) -> nn.Sequential:
        """The modules from there to the output."""
        modules: Modules = OrderedDict()
        value = start
        while value != self._graph.output:
            readers = self._readers.get(value, [])
            if not readers:
                raise ModelError(f"{self._graph.source}: {value!r:.80} does not lead to the output")
            if len(readers) == 1:
                self._take(modules, readers[0], value)
                value = readers[0].outputs[0]
            else:
                value = self._take_residual(modules, value, readers)
        return nn.Sequential(modules).eval()

    def _take(self, modules: Modules, node: Node, value: str) -> None:
        if node.op == "Add":
            self._add_bias(modules, node)
            return
        if node.inputs[0] != value:
            raise refuse_node(self._graph, node, "its first input is a weight")
        for module in to_modules(self._graph, node):
            modules[_free_name(modules, node.name)] = module

    def _add_bias(self, modules: Modules, node: Node) -> None:
        """An Add of weights right after a MatMul or Conv without a bias is their bias."""
        last = next(reversed(modules.values()), None)
        if not isinstance(last, (nn.Linear, nn.Conv2d)) or last.bias is not None:
            raise refuse_node(self._graph, node, "it adds weights to something else than a bare MatMul or Conv")
        try:
            place = next(place for place, name in enumerate(node.inputs) if name in self._graph.constants)
            offset, shape = weight(self._graph, node, place), shape_of(self._graph, node.outputs[0])
            bias = as_bias(offset if offset is not None else torch.zeros(1), len(last.weight), len(shape) - 1)
        except UnsupportedNode as error:
            raise refuse_node(self._graph, node, str(error)) from None
        last.bias = nn.Parameter(bias)

    def _take_residual(self, modules: Modules, value: str, readers: list[Node]) -> str:
        """Two ways from one value to an Add where they meet; returns the sum's name."""
        if len(readers) != 2 or readers[0] is readers[1]:
            reason = f"{value!r:.80} is read {len(readers)} times; known are two branches that an Add joins"
            raise refuse_node(self._graph, readers[-1], reason)
        meetings = [self._find_meeting(reader, value) for reader in readers]
        if meetings[0] is not meetings[1]:
            raise refuse_node(self._graph, meetings[0], "its branches do not come from one value")
        branches = [self._branch(reader, value, meetings[0]) for reader in readers]
        body, shortcut = sorted(branches, key=len, reverse=True)
        modules[_free_name(modules, meetings[0].name)] = Residual(body, shortcut)
        return meetings[0].outputs[0]

    def _find_meeting(self, node: Node, value: str) -> Node:
        """The Add of two computed values to which a branch leads."""
        while not _is_sum(self._graph, node):
            readers = self._readers.get(node.outputs[0], [])
            if len(readers) != 1:
                reason = f"on a branch from {value!r:.80}, it is read {len(readers)} times, not once"
                raise refuse_node(self._graph, node, reason)
            node = readers[0]
        return node

    def _branch(self, node: Node, value: str, meeting: Node) -> nn.Sequential:
        modules: Modules = OrderedDict()
        while node is not meeting:
            self._take(modules, node, value)
            value = node.outputs[0]
            node = self._readers[value][0]
        return nn.Sequential(modules)


def _is_sum(graph: Graph, node: Node) -> bool:
    return node.op == "Add" and not any(name in graph.constants for name in node.inputs)


def _useful_nodes(graph: Graph) -> list[Node]:
    """Nodes that the output needs, those aside that only compute sizes for a Reshape: sizes are fixed here."""
    wanted, useful = {graph.output}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            useful.append(node)
            wanted.update(node.inputs[:1] if node.op in ("Reshape", "Squeeze") else node.inputs)
    return useful[::-1]


def _free_name(modules: Mapping[str, nn.Module], name: str) -> str:
    """A name that `nn.Sequential` takes: not empty, without points, no attribute, used once."""
    base = name.replace(".", "_")[:80] or "node"
    names = (base, *(f"{base}_{number}" for number in range(2, len(modules) + 3)))
    return next(each for each in names if each not in modules and each not in _TAKEN)


_TAKEN = frozenset(dir(nn.Sequential()))

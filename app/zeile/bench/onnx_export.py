# SPDX-License-Identifier: Apache-2.0
"""A network as a float32 ONNX graph of common operators, for measuring ONNX Runtime on the same work.

    frames (B, T, F) float32, lengths (B,) int32  ->  scores (S, B, K) float32, unit 1/8 nat

Convolutions become Conv (+ Mul, Add of a skip) and Clip, LSTMs the native LSTM operator with
``sequence_lens``, so that the backward direction of a padded line starts at its own end. What lies behind a
line's end is not cleared between convolutions: the last columns of a padded line can differ a little from the
line alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zeile.bench.dequantise import (
    SCORE_HIGH,
    SCORE_LOW,
    FloatConv,
    FloatDense,
    FloatLstm,
    FloatPool,
    dequantise,
)
from zeile.network import Network

_OPSET, _IR_VERSION = 17, 8  # old enough for every ONNX Runtime of the last years


class _Graph:
    """Nodes and constants, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name


def export_onnx(network: Network, path: Path) -> None:
    """Write the float32 twin of a network.

    Args:
        network: checked layers and tensors.
        path: file to write.
    """
    graph = _Graph()
    rows = network.input_codes.size
    shape = graph.constant("picture", np.array([0, 1, -1, rows], np.int64))
    x = graph.add("Reshape", ["frames", shape], "input")  # (B, 1, T, rows)
    maps, sequence, lengths = [x], False, "lengths"
    for index, layer in enumerate(dequantise(network)):
        if isinstance(layer, FloatConv):
            maps.append(_conv(graph, index, layer, maps))
        elif isinstance(layer, FloatPool):
            kernel = [layer.columns, layer.rows]
            pooled = graph.add("MaxPool", [maps[-1]], f"{index}.pool", kernel_shape=kernel, strides=kernel, ceil_mode=1)
            maps.append(pooled)
            lengths = _shortened(graph, index, lengths, layer.columns)
        else:
            flow = maps[-1] if sequence else _as_sequence(graph, maps[-1], network.codes[index].size)
            sequence = True
            if isinstance(layer, FloatLstm):
                maps.append(_lstm(graph, index, layer, flow, lengths))
            else:
                maps.append(_dense(graph, index, layer, flow))
    graph.nodes[-1].output[0] = "scores"
    _write(graph, network, path)


def _write(graph: _Graph, network: Network, path: Path) -> None:
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["B", "T", network.input_codes.size])
    lengths = helper.make_tensor_value_info("lengths", TensorProto.INT32, ["B"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["S", "B", network.classes])
    built = helper.make_graph(graph.nodes, "zeile", [frames, lengths], [scores], graph.constants)
    model = helper.make_model(built, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _conv(graph: _Graph, index: int, layer: FloatConv, maps: Sequence[str]) -> str:
    weight = graph.constant(f"{index}.weight", layer.weight)
    bias = graph.constant(f"{index}.bias", layer.bias)
    y = graph.add("Conv", [maps[-1], weight, bias], f"{index}.conv", pads=[1, 1, 1, 1])
    if layer.gain is not None and layer.skip is not None:
        gain = graph.constant(f"{index}.gain", layer.gain[:, None, None])
        scaled = graph.add("Mul", [maps[layer.skip + 1], gain], f"{index}.scaled")
        y = graph.add("Add", [y, scaled], f"{index}.sum")
    low = graph.constant(f"{index}.low", np.float32(0))
    high = graph.constant(f"{index}.high", np.float32(layer.top))
    return graph.add("Clip", [y, low, high], f"{index}.relu")


def _shortened(graph: _Graph, index: int, lengths: str, columns: int) -> str:
    """ceil(lengths / columns)."""
    if columns == 1:
        return lengths
    more = graph.constant(f"{index}.more", np.int32(columns - 1))
    by = graph.constant(f"{index}.columns", np.int32(columns))
    return graph.add("Div", [graph.add("Add", [lengths, more], f"{index}.filled"), by], f"{index}.lengths")


def _as_sequence(graph: _Graph, name: str, size: int) -> str:
    """(B, C, T, rows) -> (T, B, rows * C), index row * C + channel."""
    turned = graph.add("Transpose", [name], "columns", perm=[2, 0, 3, 1])
    return graph.add("Reshape", [turned, graph.constant("vector", np.array([0, 0, size], np.int64))], "sequence")


def _lstm(graph: _Graph, index: int, layer: FloatLstm, flow: str, lengths: str) -> str:
    directions, _, hidden = layer.u.shape
    order = np.concatenate([np.arange(g * hidden, (g + 1) * hidden) for g in (0, 3, 1, 2)])  # i, f, g, o -> i, o, f, g
    w = graph.constant(f"{index}.w", layer.w[:, order])
    u = graph.constant(f"{index}.u", layer.u[:, order])
    bias = graph.constant(f"{index}.b", np.concatenate([layer.bias[:, order], np.zeros_like(layer.bias)], 1))
    direction = "bidirectional" if directions == 2 else "forward"
    y = graph.add("LSTM", [flow, w, u, bias, lengths], f"{index}.lstm", hidden_size=hidden, direction=direction)
    turned = graph.add("Transpose", [y], f"{index}.turned", perm=[0, 2, 1, 3])  # (T, D, B, H) -> (T, B, D, H)
    shape = graph.constant(f"{index}.shape", np.array([0, 0, directions * hidden], np.int64))
    return graph.add("Reshape", [turned, shape], f"{index}.h")


def _dense(graph: _Graph, index: int, layer: FloatDense, flow: str) -> str:
    weight = graph.constant(f"{index}.weight", np.ascontiguousarray(layer.weight.T))
    bias = graph.constant(f"{index}.bias", layer.bias)
    low, high = (
        graph.constant("score_low", np.float32(SCORE_LOW)),
        graph.constant("score_high", np.float32(SCORE_HIGH)),
    )
    product = graph.add("MatMul", [flow, weight], f"{index}.product")
    return graph.add("Clip", [graph.add("Add", [product, bias], f"{index}.biased"), low, high], f"{index}.scores")

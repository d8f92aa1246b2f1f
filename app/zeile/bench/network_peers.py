# SPDX-License-Identifier: Apache-2.0
"""Other engines that run the same network: ONNX Runtime and torch, one thread each.

Each takes what our engine takes, pixel codes, and gives scores in units of 1/8 nat. Lines of a batch are
padded to the longest, which is what these engines can do; their own lengths go with them, so that the
backward LSTM starts at a line's end.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from zeile.bench.dequantise import (
    SCORE_HIGH,
    SCORE_LOW,
    FloatConv,
    FloatDense,
    FloatLstm,
    FloatPool,
    dequantise,
    pixel_unit,
)
from zeile.network import Network

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class NetworkPeer(Protocol):
    """An engine with the same network.

    Attributes:
        name: for tables.
        version: of the engine.
    """

    name: str
    version: str

    def scores(self, lines: Sequence[Frames]) -> list[Floats]:
        """Scores of a batch: for each (T, F) uint8 pixel codes (S, K) float32, unit 1/8 nat."""
        ...


def as_codes(scores: Floats) -> npt.NDArray[np.int8]:
    """Float scores as a device would give them: int8, rounding half up."""
    codes: npt.NDArray[np.int8] = np.clip(np.floor(scores + 0.5), SCORE_LOW, SCORE_HIGH).astype(np.int8)
    return codes


def padded(lines: Sequence[Frames], unit: float) -> tuple[Floats, npt.NDArray[np.int32]]:
    """(B, T, F) float32 pixels with paper behind each line, and (B,) int32 frames of each line."""
    lengths = np.array([len(line) for line in lines], np.int32)
    pixels = np.zeros((len(lines), int(lengths.max()), lines[0].shape[1]), np.float32)
    for row, line in zip(pixels, lines, strict=True):
        np.multiply(line, np.float32(unit), out=row[: len(line)])
    return pixels, lengths


class OnnxPeer:
    """ONNX Runtime on an exported graph.

    Args:
        name: for tables.
        network: whose graph it is.
        path: the ONNX file.
    """

    def __init__(self, name: str, network: Network, path: Path) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        onnxruntime: Any = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.name, self.version = name, f"onnxruntime {onnxruntime.__version__}"
        self._network, self._unit = network, pixel_unit(network)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def scores(self, lines: Sequence[Frames]) -> list[Floats]:
        """As ``NetworkPeer.scores``."""
        pixels, lengths = padded(lines, self._unit)
        (scores,) = self._session.run(["scores"], {"frames": pixels, "lengths": lengths})
        return [scores[: _steps(self._network, line), i] for i, line in enumerate(lines)]


def onnx_peers(network: Network, folder: Path) -> list[NetworkPeer]:
    """ONNX Runtime in float32 and with dynamic int8 of the same graph.

    Raises:
        ImportError: onnx or onnxruntime is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    quantisation: Any = importlib.import_module("onnxruntime.quantization")
    from zeile.bench.onnx_export import export_onnx  # imports onnx, which need not be installed

    plain, int8 = folder / "network.onnx", folder / "network.int8.onnx"
    export_onnx(network, plain)
    # Convolutions stay in float: ConvInteger made the whole run 2.7 times slower than this choice (2026-11).
    logging.disable(logging.WARNING)  # it advises a preparation that gains nothing for these operators
    try:
        quantisation.quantize_dynamic(str(plain), str(int8), op_types_to_quantize=["LSTM", "MatMul"])
    finally:
        logging.disable(logging.NOTSET)
    return [
        OnnxPeer("onnxruntime float32", network, plain),
        OnnxPeer("onnxruntime dynamic int8", network, int8),
    ]


class TorchPeer:
    """torch in float32, in inference mode on one thread; the LSTM runs on packed sequences.

    Args:
        network: to build in torch.

    Raises:
        ImportError: torch is not installed.
    """

    def __init__(self, network: Network) -> None:
        self.torch: Any = importlib.import_module("torch")
        self.torch.set_num_threads(1)
        self.name, self.version = "torch float32", f"torch {self.torch.__version__}"
        self._network, self._unit = network, pixel_unit(network)
        self._layers = [self._built(layer) for layer in dequantise(network)]

    def scores(self, lines: Sequence[Frames]) -> list[Floats]:
        """As ``NetworkPeer.scores``."""
        pixels, lengths = padded(lines, self._unit)
        with self.torch.inference_mode():
            scores = self._forward(self.torch.from_numpy(pixels), self.torch.from_numpy(lengths).long()).numpy()
        return [scores[: _steps(self._network, line), i] for i, line in enumerate(lines)]

    def _built(self, layer: Any) -> tuple[Any, Any]:
        """The layer and, where it has weights, its torch module or tensors."""
        t = self.torch
        if isinstance(layer, FloatConv):
            gain = None if layer.gain is None else t.from_numpy(layer.gain)[:, None, None]
            return layer, (t.from_numpy(layer.weight), t.from_numpy(layer.bias), gain)
        if isinstance(layer, FloatDense):
            return layer, (t.from_numpy(layer.weight), t.from_numpy(layer.bias))
        if isinstance(layer, FloatLstm):
            directions, _, hidden = layer.u.shape
            lstm = t.nn.LSTM(layer.w.shape[2], hidden, bidirectional=directions == 2)
            for direction, suffix in enumerate(("", "_reverse")[:directions]):
                values = {"weight_ih": layer.w, "weight_hh": layer.u, "bias_ih": layer.bias}
                for name, value in values.items():
                    getattr(lstm, f"{name}_l0{suffix}").data = t.from_numpy(value[direction].copy())
                getattr(lstm, f"bias_hh_l0{suffix}").data.zero_()
            lstm.flatten_parameters()
            return layer, lstm
        return layer, None

    def _forward(self, pixels: Any, lengths: Any) -> Any:
        """(B, T, F) -> (S, B, K)."""
        f, maps = self.torch.nn.functional, [pixels[:, None]]  # (B, 1, T, rows)
        for layer, built in self._layers:
            x = maps[-1]
            if isinstance(layer, FloatConv):
                weight, bias, gain = built
                y = f.conv2d(x, weight, bias, padding=1)
                if gain is not None and layer.skip is not None:
                    y = y + gain * maps[layer.skip + 1]
                maps.append(y.clamp_(0, layer.top))
            elif isinstance(layer, FloatPool):
                maps.append(f.max_pool2d(x, (layer.columns, layer.rows), ceil_mode=True))
                lengths = (lengths + layer.columns - 1) // layer.columns
            else:
                maps.append(self._recurrent_or_dense(layer, built, x, lengths))
        return maps[-1]

    def _recurrent_or_dense(self, layer: FloatLstm | FloatDense, built: Any, x: Any, lengths: Any) -> Any:
        if x.dim() == 4:  # (B, C, T, rows) -> (T, B, rows * C)
            x = x.permute(2, 0, 3, 1).flatten(2)
        if isinstance(layer, FloatDense):
            return self.torch.nn.functional.linear(x, *built).clamp_(SCORE_LOW, SCORE_HIGH)
        if x.shape[1] == 1:
            return built(x)[0]
        rnn = self.torch.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        return rnn.pad_packed_sequence(built(packed)[0], total_length=x.shape[0])[0]


def _steps(network: Network, line: Frames) -> int:
    return network.steps(len(line) * network.columns_per_frame)

"""An encoder's layers: output sizes, parameters and FLOPs, as in ICLR Table 1."""

import dataclasses
import itertools

import keras
import numpy as np

from a2v_tf.frontend import FRONT_END
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import InputStats, find_encoder
from a2v_tf.text import align

# ICLR Table 1: output size, parameters and FLOPs of the small encoder.
TABLE_1 = {
    "Conv. layer 1": ("48 x 32 x 8", "0.2k", "2.9M"),
    "Conv. layer 2": ("24 x 16 x 16", "1k", "4M"),
    "Conv. layer 3": ("12 x 8 x 32", "5k", "4M"),
    "Conv. layer 4": ("6 x 4 x 64", "20k", "3.9M"),
    "Conv. layer 5": ("3 x 2 x 128", "82k", "3.9M"),
    "FC layer": ("1 x 1 x 128", "16k", "33k"),
    "Total": ("-", "125k", "18.7M"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer of an encoder.

    Attributes:
      name: as in Table 1.
      output: its output, time x frequency x channels, after pooling.
      parameters: weights of its convolutions, or of the fully-connected layer. As in Table 1, batch
        norm's are left out: they fold into those.
      flops: two for each multiplication, and two for each number before pooling (the residual sum
        and the ReLU): what gives Table 1's figures.
    """

    name: str
    output: tuple[int, int, int]
    parameters: int
    flops: int


def layer_table(encoder: str, frames: int = 96, bins: int = FRONT_END.mel_bins) -> list[Row]:
    """The layers of an encoder, counted from its Keras graph (ICLR Table 1)."""
    config = find_encoder(encoder)
    model = build_encoder(config, frames, bins, InputStats())
    rows = []
    for i in itertools.count(1):
        convolutions = _with_kernels(model, f"conv{i}_")
        if not convolutions:
            break
        size = model.get_layer(f"conv{i}_relu").output.shape[1:]
        pools = [layer for layer in model.layers if layer.name == f"conv{i}_pool"]
        output = pools[0].output.shape[1:] if pools else size
        flops = 2 * _macs(convolutions) + 2 * int(np.prod(size))
        rows.append(Row(f"Conv. layer {i}", tuple(output), _weights(convolutions), flops))
    for layer in _with_kernels(model, "level"):
        level = layer.name.removesuffix("_columns")
        output = tuple(layer.output.shape[1:])
        rows.append(Row(f"Columns, {level}", output, _weights([layer]), 2 * _macs([layer])))
    weights = model.get_layer("embedding").count_params()
    rows.append(Row("FC layer", (1, 1, config.embedding_dim), weights, 2 * weights))
    return rows


def _with_kernels(model: keras.Model, prefix: str) -> list[keras.layers.Layer]:
    return [x for x in model.layers if x.name.startswith(prefix) and hasattr(x, "kernel")]


def _weights(convolutions: list[keras.layers.Layer]) -> int:
    return sum(int(np.prod(layer.kernel.shape)) for layer in convolutions)


def _macs(convolutions: list[keras.layers.Layer]) -> int:
    """Multiply-accumulates; a depthwise kernel is `[frames, bins, channels, 1]`."""
    return sum(
        int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        for layer in convolutions
    )


def table_text(encoder: str, frames: int = 96, bins: int = FRONT_END.mel_bins) -> str:
    """`layer_table` for a terminal; the small encoder's has the paper's figures beside it."""
    rows = layer_table(encoder, frames, bins)
    paper = TABLE_1 if (encoder, frames, bins) == ("small", 96, FRONT_END.mel_bins) else {}
    lines = [["", "output", "params", "FLOPs", *(["ICLR Table 1", "", ""] if paper else [])]]
    for row in rows:
        output = " x ".join(map(str, row.output))
        counts = f"{row.parameters:,}", f"{row.flops:,}"
        lines.append([row.name, output, *counts, *paper.get(row.name, ())])
    totals = (sum(row.parameters for row in rows), sum(row.flops for row in rows))
    lines.append(["Total", "-", *(f"{total:,}" for total in totals), *paper.get("Total", ())])
    return align(lines)

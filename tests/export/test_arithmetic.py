"""The multiply-accumulates counted in a graph agree with the shape of the encoder."""

from collections.abc import Callable

import numpy as np
import pytest

from a2v_tf.export import build, streaming
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.arithmetic import multiply_accumulates
from a2v_tf.specs import ENCODERS


def expected_a_frame(name: str, hop: int) -> float:
    """Multiply-accumulates per frame of 10 ms: the columns of each layer times a column's cost."""
    config, bins, stride, before, total = ENCODERS[name], 64, 1, 1, 0.0
    for channels, pool in zip(config.channels, config.pools, strict=True):
        columns = max(1 / stride, 1 / hop)  # a pool never skips a column that a hop needs
        if config.separable:
            weights = 3 * before * channels + 3 * channels * channels + before * channels
        else:
            weights = 9 * before * channels
        total += columns * bins * weights
        before = channels
        if pool:
            stride, bins = 2 * stride, bins // 2
    return total + before * config.embedding_dim / hop


# large is like small, with four times the channels.
@pytest.mark.parametrize(
    "encoder", ["small", pytest.param("large", marks=pytest.mark.slow), "vgg6"]
)
@pytest.mark.parametrize("hop", [32, 16, 8, 4, 2, 1])
def test_multiply_accumulates_at_every_hop(window_of: Callable, encoder: str, hop: int) -> None:
    counted = multiply_accumulates(streaming.to_streaming(window_of(encoder), hop))
    assert counted == {"front_end": 0, "encoder": hop * expected_a_frame(encoder, hop)}


def test_relative_cost_of_shorter_hops() -> None:
    """Relative to a hop of 320 ms. Recomputing the window every 10 ms would cost 96 times."""
    whole = expected_a_frame("small", 32)
    ratios = {hop: round(expected_a_frame("small", hop) / whole, 1) for hop in (8, 1)}
    assert ratios == {8: 1.2, 1: 6.7}


def test_a_window_file_computes_one_embedding(windows: dict[str, fb.Model]) -> None:
    model = build.build_form(windows["int8"], mode="window", input="log_mel")
    whole = 3 * 32 * expected_a_frame("small", 32) - 2 * 128 * 128  # one embedding, not three
    assert np.isclose(multiply_accumulates(model)["encoder"], whole, rtol=0)

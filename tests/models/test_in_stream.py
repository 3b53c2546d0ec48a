"""Slices with frames before them: the same embedding as in a stream."""

import keras
import numpy as np
import pytest

from a2v_tf.models.encoder import build_stream_encoder
from a2v_tf.models.in_stream import InStream, with_lead
from a2v_tf.models.precision import layers_of
from a2v_tf.specs import InputStats, Slicing, find_encoder
from a2v_tf.tasks import distill, multi_head
from a2v_tf.tasks.task import Setup

STATS = InputStats(-1.0, 4.0)
FRAMES, BINS = 96, 64


def _model(encoder: str) -> keras.Model:
    setup = Setup(find_encoder(encoder), Slicing(), BINS, STATS, components={"a": 3, "b": 5})
    return multi_head.build([distill.task("a"), distill.task("b")], setup)


def _slices(count: int, lead: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-1, 2, (count, 1, lead + FRAMES, BINS)).astype("f")


@pytest.mark.parametrize(("encoder", "lead"), [("small", 64), ("multiscale", 48)])
def test_embedding_in_a_stream(encoder: str, lead: int) -> None:
    model = _model(encoder)
    stream = build_stream_encoder(find_encoder(encoder), FRAMES, BINS, STATS)
    stream.set_weights(model.get_layer("encoder").get_weights())
    slices = _slices(2, lead)
    after = stream(slices[:, 0])[:, -1]
    alone = model.get_layer("encoder")(slices[:, 0, lead:])
    outputs = with_lead(model, lead)(np.concatenate([slices, slices]))
    for name in "ab":
        head = model.get_layer(f"{name}_head")
        np.testing.assert_allclose(outputs[name][:2], head(alone), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(outputs[name][2:], head(after), rtol=1e-5, atol=1e-4)
        assert np.abs(head(after) - head(alone)).max() > 1e-3


def test_takes_slices_alone() -> None:
    model = _model("multiscale")
    alone = _slices(3, 0)
    np.testing.assert_array_equal(InStream(model, 48)(alone)["b"], model(alone)["b"])


def test_both_halves_share_the_statistics_of_batch_norm() -> None:
    model = _model("multiscale")
    norm = model.get_layer("encoder").get_layer("conv1_bn")
    norm.momentum = 0.0
    slices = _slices(4, 48) + np.arange(4)[:, None, None, None]  # the halves differ in level
    InStream(model, 48)(slices.astype("f"), training=True)
    joint = np.array(norm.moving_mean)
    model(slices[:2, :, 48:].astype("f"), training=True)
    of_alone = np.array(norm.moving_mean)
    with_lead(model, 48)(np.repeat(slices[2:], 2, axis=0).astype("f"), training=True)
    of_others = np.array(norm.moving_mean)
    assert np.all(np.abs(of_alone - of_others) > 1e-4)
    assert np.all((joint - of_alone) * (joint - of_others) < 0)


def test_has_the_weights_of_the_model_once() -> None:
    model = _model("multiscale")
    wrapped = InStream(model, 48)
    assert len(wrapped.trainable_variables) == len(model.trainable_variables)
    assert {id(x) for x in wrapped.variables} >= {id(x) for x in model.variables}
    assert len(set(map(id, layers_of(wrapped.with_lead)))) > len(model.layers)

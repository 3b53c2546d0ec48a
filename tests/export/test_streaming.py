"""Encoders and hops that can stream, and errors for those that cannot."""

import keras
import numpy as np
import pytest
from keras import layers

from a2v_tf.errors import A2vError
from a2v_tf.export import build, check, convert, streaming
from a2v_tf.export import flatbuffer as fb
from a2v_tf.models.encoder import build_encoder, standardise
from a2v_tf.runtime.embedder import Embedder, make_interpreter
from a2v_tf.specs import EncoderConfig, InputStats
from tests.export.conftest import randomise_batch_norm
from tests.export.signals import random_frames

# A multiple of the SIMD width: TensorFlow 2.16's DEQUANTIZE rounds the remaining values at the end
# of a tensor differently, and `[steps, d]` and `[1, d]` end at different values.
DIM = 16


def causal_conv(x: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
    """3x3 with batch norm, causal in time and padded on both sides in frequency."""
    x = layers.ZeroPadding2D(((2, 0), (1, 1)), name=f"{name}_pad")(x)
    x = layers.Conv2D(channels, 3, use_bias=False, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(x))


def encoder_of(body, frames: int = 96, bins: int = 16) -> keras.Model:
    """An encoder with `body` between the channel axis and the fully-connected layer."""
    keras.utils.set_random_seed(0)
    log_mel = keras.Input((frames, bins), name="log_mel")
    x = layers.Reshape((-1, bins, 1), name="add_channel")(
        standardise(InputStats(-3.0, 4.0))(log_mel)
    )
    model = keras.Model(log_mel, layers.Dense(DIM, name="embedding")(body(x)), name="encoder")
    randomise_batch_norm(model)
    return model


def vgg(x: keras.KerasTensor) -> keras.KerasTensor:
    """Three 3x3 layers, two of them with pooling: a step has four columns of 8 frames."""
    for i, (channels, pool) in enumerate([(4, 4), (6, 1), (8, 2)], start=1):
        x = causal_conv(x, channels, f"conv{i}")
        if pool > 1:
            x = layers.MaxPooling2D(pool, padding="same", name=f"conv{i}_pool")(x)
    return layers.GlobalMaxPooling2D(name="global_pool")(x)


def assert_streams_exactly(window: fb.Model, hop_frames: int, bins: int) -> None:
    """Check that every hop equals its row of the offline form and the window model."""
    steps = 2 * 96 // hop_frames
    frames = random_frames(6)[:, :bins]
    external = streaming.to_streaming(window, hop_frames)
    offline = fb.write(streaming.to_offline(window, 192, hop_frames))
    expected = make_interpreter(offline).get_signature_runner("embed")(log_mel=frames[None])
    whole = Embedder(fb.write(window)).embed(frames[:96])
    for model in (external, streaming.with_internal_state(external)):
        embedder = Embedder(fb.write(model))
        got = [embedder.embed(step) for step in np.split(frames, steps)]
        np.testing.assert_array_equal(got, expected["embedding"])
        np.testing.assert_array_equal(got[96 // hop_frames - 1], whole)


@pytest.fixture(scope="module")
def vgg_window() -> fb.Model:
    rng = np.random.default_rng(0)
    return convert.window_model(encoder_of(vgg), rng.normal(-3, 3, (8, 96, 16)).astype(np.float32))


@pytest.mark.parametrize("hop_frames", [1, 8, 16, 32, 48, 96])
def test_3x3_layers_with_and_without_pooling_stream(vgg_window: fb.Model, hop_frames: int) -> None:
    assert_streams_exactly(vgg_window, hop_frames, bins=16)


def test_3x3_layers_keep_two_frames_each(vgg_window: fb.Model) -> None:
    facts = check.check_file(streaming.to_streaming(vgg_window, 32), quantized=True)
    shapes = {state["name"]: state["shape"] for state in facts["states"]}
    assert shapes == {
        "state_conv1": [1, 2, 16, 1],
        "state_conv2": [1, 2, 4, 4],
        "state_conv3": [1, 2, 4, 6],
        "state_global_pool": [1, 2, 8],
    }


def test_odd_bins_and_fewer_layers_stream() -> None:
    config = EncoderConfig(channels=(4, 6, 8), embedding_dim=DIM)
    encoder = build_encoder(config, 96, 29, InputStats(-3.0, 4.0))
    randomise_batch_norm(encoder)
    slices = np.random.default_rng(0).normal(-3, 3, (8, 96, 29)).astype(np.float32)
    window = convert.window_model(encoder, slices)
    for hop_frames in (1, 4, 8, 24, 32):
        assert_streams_exactly(window, hop_frames, bins=29)


@pytest.mark.parametrize(
    ("hop_frames", "message"),
    [
        (40, "window of 96 frames is not a multiple of the hop of 40 frames"),
        (24, "pools 2 frames, but a hop of 24 frames gives it 3"),
        (3, "pools 2 frames, but a hop of 3 frames gives it 3"),
    ],
)
def test_refuses_hops_that_the_pools_do_not_divide(
    windows: dict[str, fb.Model], hop_frames: int, message: str
) -> None:
    with pytest.raises(A2vError, match=message):
        streaming.to_streaming(windows["float"], hop_frames)


def test_refuses_a_stream_that_is_not_a_whole_number_of_hops(windows: dict[str, fb.Model]) -> None:
    with pytest.raises(A2vError, match="100 frames are not a multiple of the hop of 32"):
        streaming.to_offline(windows["float"], 100, 32)


def _same_padding(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x)
    return layers.GlobalMaxPooling2D()(x)


def _looks_ahead(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.ZeroPadding2D(((0, 2), (0, 0)), name="conv1_pad")(x)
    x = layers.Conv2D(4, (3, 1), activation="relu", name="conv1")(x)
    return layers.GlobalMaxPooling2D()(x)


def _shrinks(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(4, (3, 1), activation="relu", name="conv1")(x)
    return layers.GlobalMaxPooling2D()(x)


def _no_relu(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.GlobalMaxPooling2D(name="global_pool")(layers.Conv2D(4, 1, name="conv1")(x))


def _overlapping_pools(x: keras.KerasTensor) -> keras.KerasTensor:
    x = layers.Conv2D(4, 1, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D((3, 1), strides=(2, 1), padding="same", name="conv1_pool")(x)
    return layers.GlobalMaxPooling2D()(x)


def _average(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, activation="relu")(x))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_same_padding, "layer 'conv1.*kernel of 3 frames with SAME padding: not causal"),
        (_looks_ahead, "layer 'conv1': pads 2 frames after the last: not causal"),
        (_shrinks, "layer 'conv1"),
        (_no_relu, "no ReLU before the global max-pooling"),
        (_overlapping_pools, "pools 3 frames every 2: they overlap"),
        (_average, "no rule for the op MEAN"),
    ],
)
def test_layers_that_cannot_stream_are_an_error_of_one_line(body, message: str) -> None:
    window = convert.window_model(encoder_of(body, bins=8), None)
    with pytest.raises(A2vError, match=message) as error:
        streaming.to_streaming(window, 32)
    assert str(error.value).startswith("cannot stream: ")
    assert "\n" not in str(error.value)
    assert build.build_form(window, mode="window", input="log_mel") is window

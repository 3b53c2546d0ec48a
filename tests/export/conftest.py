"""An untrained encoder in a model directory and its forms, converted once per session."""

import functools
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import soundfile

from a2v_tf.export import build, convert, metadata, reconstruct
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.check import probe_signal
from a2v_tf.export.part import Origin
from a2v_tf.export.quantize import Quantization
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.training.model_dir import read_config, write_config
from tests.tiny_models import SLICING, write_model

SAMPLES = 15_600


def randomise_batch_norm(model: keras.Model) -> None:
    """Give batch norm non-trivial statistics, so that an error in folding shows."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            scales = [rng.uniform(0.5, 1.5, shape) for _ in range(2)]
            shifts = [rng.normal(0, 0.3, shape) for _ in range(2)]
            layer.set_weights([scales[0], shifts[0], shifts[1], scales[1]])


@pytest.fixture(scope="session")
def encoder() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = build_encoder(ENCODERS["small"], 96, 64, InputStats(-3.0, 4.0))
    randomise_batch_norm(model)
    return model


@pytest.fixture(scope="session")
def calibration() -> np.ndarray:
    """Slices of the probe signal and of noise at several levels, `[16, 96, 64]`."""
    rng = np.random.default_rng(1)
    probe = np.split(probe_signal(8 * SAMPLES), 8)
    noise = [rng.normal(0, 10.0**-level, SAMPLES) for level in np.linspace(0.5, 4, 8)]
    return log_mel(np.array([*probe, *noise], np.float32)).numpy()


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory, encoder: keras.Model) -> pathlib.Path:
    """A model directory as written by `a2v_train`, with training recordings."""
    path = tmp_path_factory.mktemp("model")
    recordings = path / "recordings"
    recordings.mkdir()
    for i, part in enumerate(np.split(probe_signal(4 * 24_000), 4)):
        soundfile.write(recordings / f"{i}.wav", part, 16_000)
    encoder.save(path / "encoder.keras")
    config = {"data": str(recordings), "frames": 96, "bins": 64, "encoder": "small"}
    write_config(path, {**config, "front_end": vars(FRONT_END)})
    return path


@pytest.fixture(scope="session")
def windows(encoder: keras.Model, calibration: np.ndarray) -> dict[str, fb.Model]:
    """The window model by type: "int8" and "float"."""
    return {
        "int8": convert.window_model(encoder, calibration),
        "float": convert.window_model(encoder, None),
    }


@pytest.fixture(scope="session")
def window_of(calibration: np.ndarray) -> Callable[[str], fb.Model]:
    """`window_of(encoder)`: its int8 window model."""

    @functools.cache
    def convert_once(name: str) -> fb.Model:
        keras.utils.set_random_seed(0)
        encoder = build_encoder(ENCODERS[name], 96, 64, InputStats(-3.0, 4.0))
        randomise_batch_norm(encoder)
        return convert.window_model(encoder, calibration[:4])

    return convert_once


@pytest.fixture(scope="session")
def form(windows: dict[str, fb.Model]) -> Callable[..., bytes]:
    """`form(numbers, mode=, state=, input=)`: the exported file's content, hop 320 ms."""

    @functools.cache
    def content(numbers: str, mode: str, input: str, state: str = "internal") -> bytes:
        model = build.build_form(
            windows[numbers], mode=mode, state=state, input=input, hop_frames=32
        )
        return fb.write(model)

    return content


@pytest.fixture(scope="session")
def offline(windows: dict[str, fb.Model]) -> Callable[..., bytes]:
    """`offline(numbers, steps, input)`: the offline form of a whole stream."""

    @functools.cache
    def content(numbers: str, steps: int, input: str) -> bytes:
        return fb.write(build.build_offline(windows[numbers], steps, input=input, hop_frames=32))

    return content


# A decoder behind the encoder -------------------------------------------------------------------

HOW = Quantization(loudest=build.silent_and_loudest(FRONT_END))


@pytest.fixture(scope="session")
def short_calibration() -> np.ndarray:
    """Slices of the models of `model_of`, `[8, 32, 64]`."""
    samples = FRONT_END.samples(SLICING.frames)
    return log_mel(np.stack(np.split(probe_signal(8 * samples), 8))).numpy()


def write_trained(directory: pathlib.Path, *tasks: str, **config: object) -> keras.Model:
    """A model directory whose batch norm is not the identity."""
    model = write_model(directory, *tasks, **config)
    for part in model.layers:
        if isinstance(part, keras.Model):
            randomise_batch_norm(part)
    model.get_layer("encoder").save(directory / "encoder.keras")
    model.save(directory / "model.keras")
    return model


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple]:
    """`model_of(task)`: a model directory and its model."""

    @functools.cache
    def make(task: str) -> tuple[pathlib.Path, keras.Model]:
        directory = tmp_path_factory.mktemp(task)
        return directory, write_trained(directory, task)

    return make


@pytest.fixture(scope="session")
def part_of(
    model_of: Callable, short_calibration: np.ndarray
) -> Callable[..., reconstruct.Reconstruct]:
    """`part_of(task, numbers)`: the converted encoder and decoder, "int8" or "float"."""

    @functools.cache
    def make(task: str, numbers: str) -> reconstruct.Reconstruct:
        directory, _ = model_of(task)
        slices = None
        if numbers == "int8":
            slices = functools.partial(np.asarray, short_calibration)
        window = convert.model_of(directory, slices, {}, HOW)
        trained = reconstruct.open_decoder(directory, None)
        config = read_config(directory)
        origin = Origin(directory, config, window, slices, HOW, trained=trained)
        return reconstruct.Reconstruct(origin)

    return make


@pytest.fixture(scope="session")
def file_of(part_of: Callable) -> Callable[..., bytes]:
    """`file_of(task, numbers, mode, input, state, hop_frames)`: the content of a file."""

    @functools.cache
    def make(
        task: str,
        numbers: str,
        mode: str,
        input: str = "pcm",
        state: str = "internal",
        hop_frames: int = 4,
    ) -> bytes:
        part = part_of(task, numbers)
        form = build.build_form(
            part.window, mode=mode, state=state, input=input, hop_frames=hop_frames
        )
        signed = part.signed(form, mode)
        facts = {
            **part.facts,
            "mode": mode,
            "input": input,
            "state": state if mode == "streaming" else None,
            "hop_ms": 10.0 * hop_frames if mode == "streaming" else None,
            "window_ms": 1000 * FRONT_END.seconds(SLICING.frames),
            "quantized": numbers == "int8",
            "encoder": "small",
            "front_end": vars(FRONT_END),
        }
        metadata.attach(signed, facts)
        return fb.write(signed)

    return make

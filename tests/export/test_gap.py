"""The distance of two windows in a file, from two windows or from two embeddings of a stream."""

import functools
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.gap import estimate
from a2v_tf.export import build
from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime import metadata
from a2v_tf.runtime.embedder import KERNELS, Embedder
from a2v_tf.training.trained_task import open_task
from tests.conftest import run_command
from tests.export.signals import stream_of, with_silence
from tests.tiny_models import write_model

HOP, WINDOW = 5_120, 5_360  # samples of 32 frames after a stretch of silence, and of a window


@pytest.fixture(scope="module")
def slices() -> np.ndarray:
    return np.random.default_rng(0).normal(-1, 3, (16, 32, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    directory = tmp_path_factory.mktemp("gap")
    write_model(directory, "cbow", "temporal_gap")  # of gaps up to 1 s
    return directory


@pytest.fixture(scope="module")
def file(
    model_dir: pathlib.Path, slices: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., pathlib.Path]:
    directory = tmp_path_factory.mktemp("files")

    @functools.cache
    def export(numbers: str, mode: str, **options: str) -> pathlib.Path:
        path = directory / f"{numbers}_{mode}_{'_'.join(options.values())}.tflite"
        quantize = {"quantize": True, "calibration": slices} if numbers == "int8" else {}
        build.export_file(model_dir, path, part="gap", mode=mode, **quantize, **options)
        return path

    return export


def gap_of(embedder: Embedder, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    run = embedder.interpreter.get_signature_runner("gap")
    return run(first=first[None], second=second[None])["seconds"]


def hops() -> list[np.ndarray]:
    signals = ("bursts_and_silence", "chirp", "noise", "silence")
    return [stream_of(name, 1) for name in signals]


@pytest.mark.parametrize("state", ["internal", "external"])
@pytest.mark.parametrize("kernels", KERNELS)
def test_int8_distances_in_a_stream_equal_those_of_windows(
    file: Callable, kernels: str, state: str
) -> None:
    """The embedding of the first hop after a reset is that of the window that ends with it."""
    stream = Embedder(file("int8", "streaming", state=state), kernels)
    window = Embedder(file("int8", "window"), kernels)
    embeddings = []
    for hop in hops():
        stream.reset()
        embeddings.append(stream.embed(hop))
    seen = set()
    for i, one in enumerate(hops()):
        for j, other in enumerate(hops()):
            seconds = gap_of(stream, embeddings[i], embeddings[j])
            assert seconds.shape == (1, 1)
            assert seconds.dtype == np.float32
            whole = [with_silence(pcm) for pcm in (one, other)]
            assert_array_equal(seconds, gap_of(window, *whole))
            assert_array_equal(seconds, gap_of(stream, embeddings[j], embeddings[i]))
            seen.add(seconds.item())
    assert len(seen) > 4


def test_the_stream_goes_on_between_two_distances(file: Callable) -> None:
    stream = Embedder(file("int8", "streaming"))
    expected = [stream.embed(hop) for hop in hops()]
    stream.reset()
    for hop, embedding in zip(hops(), expected, strict=True):
        assert_array_equal(stream.embed(hop), embedding)
        gap_of(stream, embedding, expected[0])


@pytest.mark.parametrize(("numbers", "tolerance"), [("float", 1e-3), ("int8", 0.1)])
def test_distances_are_those_of_a2v_gap(
    file: Callable, model_dir: pathlib.Path, numbers: str, tolerance: float
) -> None:
    recording = np.concatenate([*map(with_silence, hops())])
    task = open_task(model_dir, ["temporal_gap"])
    window = Embedder(file(numbers, "window"))
    for first, second in ((0, WINDOW), (WINDOW, 2 * WINDOW), (0, 0)):
        parts = [recording[start : start + WINDOW] for start in (first, second)]
        expected = estimate(task, recording, first, second)
        assert gap_of(window, *parts).item() == pytest.approx(expected, abs=tolerance)


def test_a_window_file_of_log_mel(file: Callable) -> None:
    window = Embedder(file("int8", "window", input="log_mel"))
    given = np.random.default_rng(0).normal(-1, 3, (2, 32, 64)).astype(np.float32)
    stream = Embedder(file("int8", "streaming", input="log_mel", state="external"))
    embeddings = []
    for frames in given:
        stream.reset()
        embeddings.append(stream.embed(frames))
        assert_array_equal(embeddings[-1], window.embed(frames))
    assert_array_equal(gap_of(window, *given), gap_of(stream, *embeddings))


def test_the_file_has_its_weights_once_and_says_what_it_is(
    file: Callable, model_dir: pathlib.Path, slices: np.ndarray, tmp_path: pathlib.Path
) -> None:
    plain = tmp_path / "plain.tflite"
    options = {"quantize": True, "calibration": slices, "mode": "window"}
    encoder = build.export_file(model_dir, plain, **options)
    path = file("int8", "window")
    weights = sum(
        len(buffer.data)
        for buffer in fb.read(plain.read_bytes()).buffers
        if buffer.data is not None
    )
    assert path.stat().st_size < plain.stat().st_size + 0.4 * weights  # not twice more
    facts = metadata.read(path)["facts"]
    assert (facts["part"], facts["greatest_seconds"]) == ("gap", pytest.approx(1.0))
    assert facts["weights_and_scales"] == encoder["weights_and_scales"]
    pcm = with_silence(hops()[0])
    assert_array_equal(Embedder(path).embed(pcm), Embedder(plain).embed(pcm))


def test_command(model_dir: pathlib.Path, tmp_path: pathlib.Path) -> None:
    output = tmp_path / "gap.tflite"
    flags = ["export_tflite", "--part=gap", f"--model_dir={model_dir}", f"--output={output}"]
    run = run_command(*flags, here=True)
    assert "gap              of two embeddings, 0 to 1.00 s" in run.stdout
    assert set(Embedder(output).interpreter.get_signature_list()) == {"embed", "reset", "gap"}


@pytest.mark.parametrize(
    ("names", "config", "message"),
    [
        (["cbow"], {}, "was trained on cbow: expected a model of temporal_gap"),
        (["temporal_gap"], {"max_frames": "clip"}, "estimates fractions of a recording's length"),
    ],
)
def test_errors(tmp_path: pathlib.Path, names: list[str], config: dict, message: str) -> None:
    write_model(tmp_path, *names, **config)
    with pytest.raises(A2vError, match=message) as error:
        build.export_file(tmp_path, tmp_path / "x.tflite", part="gap")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.tflite"))


def test_an_encoder_that_is_not_that_of_the_head(tmp_path: pathlib.Path) -> None:
    model = write_model(tmp_path, "temporal_gap")
    encoder = model.get_layer("encoder")
    last = encoder.get_layer("embedding")
    last.set_weights([2 * weight for weight in last.get_weights()])
    encoder.save(tmp_path / "encoder.keras")
    with pytest.raises(A2vError, match="has an encoder that is not that of its head"):
        build.export_file(tmp_path, tmp_path / "x.tflite", part="gap")

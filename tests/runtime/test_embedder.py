"""`Embedder` and `make_interpreter`: every form behind one face, and bad input in one line."""

import pathlib
import threading
from collections.abc import Callable

import numpy as np
import pytest

import a2v_tf
from a2v_tf.errors import A2vError
from a2v_tf.export import flatbuffer as fb
from a2v_tf.runtime.embedder import Embedder, make_interpreter
from tests.export.signals import HOP, frames_of, stream_of, with_silence


@pytest.mark.parametrize("state", ["internal", "external"])
@pytest.mark.parametrize(("input", "shape"), [("pcm", (5_120,)), ("log_mel", (32, 64))])
def test_describes_a_streaming_file(
    form: Callable, input: str, shape: tuple[int, ...], state: str
) -> None:
    embedder = Embedder(form("float", "streaming", input, state))
    assert embedder.streaming
    assert (embedder.input, embedder.input_shape) == (input, shape)
    assert (embedder.hop, embedder.window, embedder.embedding_dim) == (5_120, None, 128)


@pytest.mark.parametrize(("input", "shape"), [("pcm", (15_600,)), ("log_mel", (96, 64))])
def test_describes_a_window_file(form: Callable, input: str, shape: tuple[int, ...]) -> None:
    embedder = Embedder(form("float", "window", input))
    assert not embedder.streaming
    assert (embedder.input, embedder.input_shape) == (input, shape)
    assert (embedder.hop, embedder.window, embedder.embedding_dim) == (None, 15_600, 128)


def test_window_files_take_pcm_whatever_their_input(form: Callable) -> None:
    pcm = with_silence(stream_of("chirp", 3))
    on_pcm, on_log_mel = (
        Embedder(form("float", "window", input)).embed_window(pcm) for input in ("pcm", "log_mel")
    )
    np.testing.assert_allclose(on_pcm, on_log_mel, atol=1e-3)


def test_third_embedding_of_a_stream_is_the_window_that_ends_there(form: Callable) -> None:
    pcm = stream_of("noise", 3)
    streamed = Embedder(form("int8", "streaming", "pcm")).stream(pcm)
    window = Embedder(form("int8", "window", "pcm")).embed_window(with_silence(pcm))
    np.testing.assert_array_equal(streamed[-1], window)


def test_stream_waits_for_a_whole_hop(form: Callable) -> None:
    embedder = Embedder(form("float", "streaming", "pcm"))
    assert embedder.stream(np.zeros(HOP - 1)) == []
    (embedding,) = embedder.stream(np.zeros(1))
    assert embedding.shape == (128,)
    assert embedding.dtype == np.float32


def test_reset_forgets_the_samples_that_wait(form: Callable) -> None:
    embedder = Embedder(form("float", "streaming", "log_mel"))
    pcm = stream_of("chirp", 2)
    expected = embedder.stream(pcm)
    embedder.stream(pcm[:1_000])
    embedder.reset()
    np.testing.assert_array_equal(embedder.stream(pcm), expected)


def test_opens_a_file_by_path(form: Callable, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(form("float", "window", "log_mel"))
    frames = frames_of(stream_of("chirp", 3))
    expected = Embedder(path.read_bytes()).embed(frames)
    for name in (path, str(path)):
        np.testing.assert_array_equal(Embedder(name).embed(frames), expected)


def test_refuses_what_is_no_sound(form: Callable) -> None:
    stream = Embedder(form("float", "streaming", "pcm")).stream
    window = Embedder(form("float", "window", "pcm"))
    for embed in (stream, window.embed_window):
        for pcm in (np.zeros(window.input_shape, np.int64), [0] * window.input_shape[0]):
            with pytest.raises(A2vError, match=r"^pcm is int64: expected floats in \[-1, 1\], or"):
                embed(pcm)
        for value in (np.nan, np.inf, -np.inf):
            with pytest.raises(A2vError, match=r"^pcm has NaN or infinite samples$"):
                embed(np.full(window.input_shape, value, np.float32))
        for value in (2.01, -32_768.0, 1e30):
            with pytest.raises(A2vError, match=r"^pcm has samples up to .*, expected \[-1, 1\]$"):
                embed(np.full(window.input_shape, value))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.float16, np.float64, list])
def test_samples_of_any_type_are_scaled_as_it_says(form: Callable, dtype: type) -> None:
    of_bytes = np.round(stream_of("noise", 1) * 100)  # what 8 bits can hold
    pcm = of_bytes / 128
    scales = {np.int16: 256, np.int32: 2**24, np.uint8: 1}
    if dtype is list:
        values = pcm.tolist()
    elif dtype in scales:
        values = ((of_bytes + 128 * (dtype is np.uint8)) * scales[dtype]).astype(dtype)
    else:
        values = pcm.astype(dtype)
    embedder = Embedder(form("float", "streaming", "pcm"))
    expected = embedder.stream(pcm.astype(np.float32))
    embedder.reset()
    np.testing.assert_array_equal(embedder.stream(values), expected)
    np.testing.assert_array_equal(
        Embedder(form("float", "streaming", "pcm")).embed(values), expected[0]
    )


def test_refuses_another_shape(form: Callable) -> None:
    streaming = Embedder(form("float", "streaming", "pcm"))
    with pytest.raises(A2vError, match=r"pcm has the shape \(100,\): the file takes \(5120,\)"):
        streaming.embed(np.zeros(100))
    with pytest.raises(A2vError, match=r"shape \(2, 5120\): expected one channel"):
        streaming.stream(np.zeros((2, HOP)))


def test_refuses_to_stream_a_window_and_the_reverse(form: Callable) -> None:
    with pytest.raises(A2vError, match="cannot stream: export with --mode=streaming"):
        Embedder(form("float", "window", "pcm")).stream(np.zeros(HOP))
    with pytest.raises(A2vError, match="a streaming model has no window"):
        Embedder(form("float", "streaming", "pcm")).embed_window(np.zeros(15_600))


def test_refuses_what_is_no_file_of_export_tflite(form: Callable, tmp_path: pathlib.Path) -> None:
    with pytest.raises(A2vError, match=r"cannot read '.*missing\.tflite': No such file"):
        Embedder(tmp_path / "missing.tflite")
    text = tmp_path / "text.tflite"
    text.write_text("no model")
    with pytest.raises(A2vError, match=r"text\.tflite' is not a TFLite model that runs here"):
        Embedder(text)
    with pytest.raises(A2vError, match="unknown kernels 'gpu': expected one of xnnpack"):
        make_interpreter(text, "gpu")
    model = fb.read(form("float", "window", "log_mel"))
    model.signatureDefs[0].signatureKey = "classify"
    with pytest.raises(A2vError, match=r"signatures \['classify'\]: expected 'embed'"):
        Embedder(fb.write(model))


def in_threads(work, count=4):
    """The results of `count` threads that call `work(index)`, and what they raised."""
    results, errors = {}, []

    def run(index):
        try:
            results[index] = work(index)
        except A2vError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, errors


def test_threads_may_share_a_window_model():
    rng = np.random.default_rng(0)
    sounds = 0.1 * rng.standard_normal((4, 8, 15_600)).astype(np.float32)
    embedder = a2v_tf.load(window=True)
    expected = [[embedder.embed_window(pcm) for pcm in of_thread] for of_thread in sounds]
    results, errors = in_threads(lambda i: [embedder.embed_window(pcm) for pcm in sounds[i]])
    assert not errors
    for index in range(4):
        np.testing.assert_array_equal(results[index], expected[index])


def test_a_stream_that_threads_use_at_once_is_an_error():
    pcm = 0.1 * np.random.default_rng(0).standard_normal(1_280).astype(np.float32)
    shared = a2v_tf.load()
    starts = threading.Barrier(4)

    def work(_):
        starts.wait()
        for _ in range(2_000):
            shared.stream(pcm)

    _, errors = in_threads(work)
    assert errors
    assert set(errors) == {
        "two threads use one Embedder at once: expected one for each stream, opened with the same "
        "file"
    }
    shared.reset()
    np.testing.assert_array_equal(shared.stream(pcm), a2v_tf.load().stream(pcm))


def test_threads_with_an_embedder_each():
    pcm = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    expected = a2v_tf.load().stream(pcm)
    results, errors = in_threads(lambda _: a2v_tf.load().stream(pcm), count=8)
    assert not errors
    for result in results.values():
        np.testing.assert_array_equal(result, expected)

"""`Reconstructor`: predictions in a stream and of an excerpt."""

from collections.abc import Callable

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.export.check import probe_signal
from a2v_tf.frontend import FRONT_END
from a2v_tf.runtime.embedder import make_interpreter
from a2v_tf.runtime.reconstructor import Reconstructor

MODES = ("window", "streaming")
LONG = probe_signal(30_000)


@pytest.mark.parametrize("mode", MODES)
def test_any_chunks_and_a_reset_give_the_same(file_of: Callable, mode: str) -> None:
    reconstructor = Reconstructor(file_of("cbow", "int8", mode))
    rng = np.random.default_rng(0)
    results = []
    for chunks in (1, 7, 40):
        for chunk in np.split(LONG, np.sort(rng.integers(0, len(LONG), chunks))):
            reconstructor.feed(chunk)
        results.append(reconstructor.reconstruct())
        reconstructor.reset()
    assert results[0].shape == reconstructor.shape == (1, 32, 64)
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_window_file_takes_the_last_samples(file_of: Callable) -> None:
    reconstructor = Reconstructor(file_of("cbow", "int8", "window"))
    reconstructor.feed(LONG)
    expected = reconstructor.of_excerpt(LONG[-reconstructor.samples :])
    np.testing.assert_array_equal(reconstructor.reconstruct(), expected)
    np.testing.assert_array_equal(reconstructor.reconstruct(), expected)
    begin = len(LONG) - reconstructor.samples + 34 * 160
    assert reconstructor.begins == [begin]
    muted = LONG.copy()
    muted[begin : begin + FRONT_END.samples(32)] = 0.0
    got = reconstructor.of_excerpt(muted[-reconstructor.samples :])
    np.testing.assert_array_equal(got, expected)


def test_a_streaming_file_decodes_the_embeddings_of_the_slices(file_of: Callable) -> None:
    content = file_of("cbow", "int8", "streaming")
    reconstructor = Reconstructor(content)
    hop = 4 * 160
    embeddings = reconstructor.embedder.stream(LONG)
    decode = make_interpreter(content).get_signature_runner("reconstruct")
    reconstructor.reset()
    ready = []
    for i, chunk in enumerate(np.split(LONG[: len(LONG) // hop * hop], len(LONG) // hop)):
        reconstructor.feed(chunk)
        if not reconstructor.ready:
            continue
        ready.append(i)
        # The slices begin 68 frames apart, 17 hops.
        z = np.stack([embeddings[i - 17], embeddings[i]])
        expected = decode(embeddings=z[None])["log_mel"][0]
        np.testing.assert_array_equal(reconstructor.reconstruct(), expected)
        # The excerpt of 100 frames ends with the hop.
        end = (i + 1) * hop
        assert reconstructor.begins == [end - FRONT_END.samples(100) + 34 * 160]
    assert ready[0] == 100 // 4 - 1  # as soon as the last frame is complete
    assert ready == list(range(ready[0], len(embeddings)))


def test_samples_may_be_integers(file_of: Callable) -> None:
    reconstructor = Reconstructor(file_of("cbow", "int8", "window"))
    integers = np.round(LONG * 32_767).astype(np.int16)
    reconstructor.feed(integers)
    got = reconstructor.reconstruct()
    expected = reconstructor.of_excerpt(integers[-reconstructor.samples :] / 32_768)
    np.testing.assert_array_equal(got, expected)


def test_errors(file_of: Callable, form: Callable) -> None:
    with pytest.raises(A2vError, match="the file computes embeddings: expected one of"):
        Reconstructor(form("int8", "streaming", "pcm"))
    with pytest.raises(A2vError, match="cannot read"):
        Reconstructor("missing.tflite")
    window = Reconstructor(file_of("cbow", "int8", "window"))
    with pytest.raises(A2vError, match="0 samples were fed: expected 16240, which"):
        window.reconstruct()
    with pytest.raises(A2vError, match=r"pcm has the shape \(2, 100\)"):
        window.feed(np.zeros((2, 100), np.float32))
    with pytest.raises(A2vError, match=r"the shape \(100,\): the file takes \(16240,\)"):
        window.of_excerpt(np.zeros(100, np.float32))
    streaming = Reconstructor(file_of("cbow", "int8", "streaming"))
    with pytest.raises(A2vError, match="a streaming file takes no excerpt"):
        streaming.of_excerpt(np.zeros(16_240, np.float32))
    on_frames = Reconstructor(file_of("cbow", "float", "window", "log_mel"))
    with pytest.raises(A2vError, match="the file takes log-mel"):
        on_frames.feed(LONG)
    assert on_frames.of_excerpt(np.zeros((100, 64), np.float32)).shape == (1, 32, 64)

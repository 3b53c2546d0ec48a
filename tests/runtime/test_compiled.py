"""`Embedder` in LiteRT's CompiledModel gives the interpreter's bits."""

import importlib.metadata

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.pretrained import WINDOW, resolve
from a2v_tf.runtime.embedder import Embedder


@pytest.fixture
def pcm() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.normal(size=20_000) * np.linspace(0, 1, 20_000)).astype(np.float32)


def test_a_stream_has_the_same_bits_and_resets(pcm: np.ndarray) -> None:
    expected = Embedder("pretrained").stream(pcm)
    compiled = Embedder("pretrained", runtime="compiled")
    for _ in range(2):  # the second time after `reset`
        np.testing.assert_array_equal(compiled.stream(pcm), expected)
        compiled.reset()
    assert compiled.facts["hop_ms"] == 80


def test_a_window_has_the_same_bits(pcm: np.ndarray) -> None:
    model = resolve("pretrained", WINDOW)
    expected = Embedder(model).embed_window(pcm[:15_600])
    compiled = Embedder(model, runtime="compiled")
    np.testing.assert_array_equal(compiled.embed_window(pcm[:15_600]), expected)


@pytest.mark.parametrize("version", ["1.4.0", "2.1.4", "2.1"])
def test_an_older_litert_is_one_line(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with pytest.raises(
        A2vError, match=rf"needs ai-edge-litert 2\.1\.5 or later: this is {version}"
    ):
        Embedder("pretrained", runtime="compiled")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "gpu"}, "unknown runtime 'gpu': expected one of interpreter, compiled"),
        ({"runtime": "compiled", "kernels": "builtin"}, "expected kernels='xnnpack'"),
    ],
)
def test_other_choices_are_one_line(options: dict[str, str], message: str) -> None:
    with pytest.raises(A2vError, match=message):
        Embedder("pretrained", **options)

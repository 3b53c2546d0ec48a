"""Every form in LiteRT's CompiledModel gives the interpreter's bits."""

import numpy as np
import pytest

from a2v_tf.runtime.embedder import Embedder
from tests.runtimes.conftest import Form, steps_of, windows_of


@pytest.mark.parametrize("input", ["pcm", "log_mel"])
@pytest.mark.parametrize("state", ["internal", "external"])
def test_streams(form: Form, state: str, input: str) -> None:
    content, steps = form("pretrained", "streaming", input, state), steps_of(input, 80)
    got, expected = (
        [each.embed(step) for step in steps]
        for each in (Embedder(content, runtime="compiled"), Embedder(content))
    )
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("input", ["pcm", "log_mel"])
def test_windows(form: Form, input: str) -> None:
    content, windows = form("pretrained", "window", input), windows_of(input, count=4)
    got, expected = (
        [each.embed(window) for window in windows]
        for each in (Embedder(content, runtime="compiled"), Embedder(content))
    )
    np.testing.assert_array_equal(got, expected)

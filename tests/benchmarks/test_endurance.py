"""`benchmarks/endurance.py`: a small size of it, and that it notices what it looks for."""

import pathlib

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.pretrained import NAME
from tests.conftest import load_script

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "endurance.py"
MOST_GROWTH_MB = 100  # of a process that runs other tests, too


@pytest.fixture(scope="module")
def endurance():
    return load_script(SCRIPT)


@pytest.mark.parametrize("use", ["long_stream", "long_command"])
def test_the_end_of_a_long_stream_is_that_of_a_fresh_one(endurance, use):
    outcome = getattr(endurance, use)(NAME, 0.05)
    assert outcome.before_mb > 20
    assert outcome.cpu_s > 0
    endurance.check(outcome, MOST_GROWTH_MB)


def test_resets_opens_and_threads_give_the_first_bits(endurance):
    for outcome in (
        endurance.many_resets(NAME, 200),
        endurance.many_opens(NAME, 20),
        endurance.many_threads(NAME, 8),
    ):
        endurance.check(outcome, MOST_GROWTH_MB)


def test_blocks_are_the_sound(endurance):
    total = endurance._PERIOD + 100_000
    np.testing.assert_array_equal(
        np.concatenate(list(endurance.blocks(total))), endurance.sound(0, total)
    )
    assert endurance.sound(0, 1_000).any()


def test_a_stream_that_forgets_is_noticed(endurance, monkeypatch):
    class Forgetful(endurance.Embedder):
        def stream(self, pcm):
            found = super().stream(pcm)
            self.reset()
            return found

    whole = endurance.fresh_end

    def with_a_real_embedder(model, total):
        monkeypatch.setattr(endurance, "Embedder", Forgetful.__base__)
        return whole(model, total)

    monkeypatch.setattr(endurance, "Embedder", Forgetful)
    monkeypatch.setattr(endurance, "fresh_end", with_a_real_embedder)
    with pytest.raises(A2vError, match="other bits than those of a fresh stream"):
        endurance.long_stream(NAME, 0.05)


@pytest.mark.parametrize(
    ("after", "files", "message"), [(60.0, 0, "50.0 MB more, expected 32"), (10.0, 1, "1 files")]
)
def test_a_leak_is_noticed(endurance, after, files, message):
    with pytest.raises(A2vError, match=message):
        endurance.check(endurance.Outcome("x", 1.0, 10.0, after, files), 32)

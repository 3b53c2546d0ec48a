"""What a run trains on: with and without --cache."""

import numpy as np
import pytest
import soundfile

from a2v_tf.errors import A2vError
from a2v_tf.training.objective import open_objective
from a2v_tf.training.settings import TrainSettings
from a2v_tf.training.strategy import Strategy


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        soundfile.write(folder / f"{i}.wav", rng.uniform(-0.3, 0.3, 48_000), 16_000)
    return folder


def opened(corpus, tmp_path, **options):
    quick = {"frames": 32, "context": 1, "batch_size": 4, "gain_db": 3.0}
    settings = TrainSettings(data=str(corpus), model_dir="m", **quick, **options)
    return open_objective(settings, Strategy(), tmp_path)


@pytest.mark.parametrize("task", ["cbow", "contrastive"])
def test_examples_from_the_cache_are_those_of_the_audio(corpus, tmp_path, task, capsys):
    without = opened(corpus, tmp_path, task=task)
    cached = opened(corpus, tmp_path, task=task, cache=str(tmp_path / "cache"))
    assert f"log-mel in {tmp_path}/cache/log_mel-" in capsys.readouterr().out
    for ours, theirs in ((cached.train, without.train), (cached.validation, without.validation)):
        slices, targets, weights = next(ours(0).as_numpy_iterator())
        expected = next(theirs(0).as_numpy_iterator())
        np.testing.assert_allclose(slices, expected[0], atol=0.02)
        np.testing.assert_allclose(targets[task], expected[1][task], atol=0.02)
        np.testing.assert_array_equal(weights[task], expected[2][task])
    stats, exact = cached.stats(), without.stats()
    assert stats.mean == pytest.approx(exact.mean, abs=1e-3)
    assert stats.variance == pytest.approx(exact.variance, rel=1e-3)


def test_unknown_teachers_and_caches_that_cannot_be_get_one_line(corpus, tmp_path):
    distill = {"data": str(corpus), "model_dir": "m", "task": "distill", "teachers": ("nobody",)}
    settings = TrainSettings(**distill, cache=str(tmp_path / "cache"))
    with pytest.raises(A2vError, match=r"^no teacher 'nobody': expected one of log_mel_stat"):
        open_objective(settings, Strategy(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(A2vError, match=r"^cannot write --cache="):
        opened(corpus, tmp_path, cache=str(tmp_path / "file"))

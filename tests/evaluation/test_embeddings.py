"""Windows of clips, and embeddings that are kept on disk."""

import dataclasses
import pathlib

import numpy as np
import pytest

from a2v_tf.audio.read import windows as sliding_windows
from a2v_tf.data.labelled import Clip
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.cache import EmbeddingCache, encoder_key, file_key
from a2v_tf.evaluation.embeddings import (
    WindowEmbedder,
    embed_task,
    keras_embedder,
    spectrogram_embedder,
)
from a2v_tf.evaluation.settings import Draws, Settings
from a2v_tf.frontend import log_mel
from tests.evaluation.conftest import Tones, tiny_encoder


class Counting:
    """An embedder that counts its windows; equal keys stand for equal embedders."""

    def __init__(self, key: str | None, scale: float = 1.0) -> None:
        self.windows = 0
        self._scale = scale
        self.embedder = WindowEmbedder(self._embed, key=key)

    def _embed(self, batch: np.ndarray) -> np.ndarray:
        self.windows += len(batch)
        return self._scale * batch.mean(axis=1)


def test_windows_of_clips():
    """A clip of 1.5 s has two windows of 975 ms half a window apart."""
    data = Tones()
    found = embed_task(data, {"log_mel": spectrogram_embedder(), "mean": Counting(None).embedder})
    windows = found["log_mel"]
    assert windows.values.shape == (28, 96, 64)
    assert np.bincount(windows.clip).tolist() == [2] * 14
    assert windows.classes == ("high", "low")
    assert windows.labels.tolist() == [1] * 7 + [0] * 7
    assert [windows.count(split) for split in ("train", "val", "test")] == [8, 2, 4]
    assert found["mean"].values.shape == (28, 64)
    _, pcm = list(data.clips())[3]
    want = log_mel(sliding_windows(pcm, 7_800, 15_600)).numpy()
    np.testing.assert_allclose(windows.values[windows.clip == 3], want, atol=5e-3)
    np.testing.assert_allclose(found["mean"].values[6:8], want.mean(axis=1), rtol=1e-5)


def test_splits_can_be_left_out():
    windows = embed_task(Tones(), {"": spectrogram_embedder()}, splits=("val", "test"))[""]
    assert set(windows.splits) == {"val", "test"}
    assert len(windows.clip) == 12


def test_slices_at_random_positions():
    """ICLR section 4: uniformly at random; as many of each clip, but fewer of short ones."""

    class Ramps(Tones):
        """Clips of 0.5, 1, 5 and 5 s whose samples are their own positions."""

        def clips(self, max_bad_fraction=0.1):
            for i, seconds in enumerate((0.5, 1, 5, 5, 5)):
                pcm = np.arange(int(seconds * 16_000), dtype=np.float32)
                yield Clip(str(i), ("low", "high")[i % 2], ("train", "test")[i == 4]), pcm

    starts = WindowEmbedder(lambda batch: batch[:, :1], takes="pcm")
    draws = Draws(("train",), 6, seed=0)
    windows = embed_task(Ramps(), {"m": starts}, splits=("test",), draws=draws)["m"]
    train = windows.rows("train")
    assert np.bincount(windows.clip[train]).tolist() == [1, 1, 6, 6]
    assert windows.drawn[train].all()
    assert not windows.drawn[windows.rows("test")].any()
    found = windows.values[windows.clip == 2]
    assert (found >= 0).all()
    assert (found <= 80_000 - 15_600).all()
    assert len(np.unique(found)) == 6
    assert not np.array_equal(found, windows.values[windows.clip == 3])
    again = embed_task(Ramps(), {"m": starts}, splits=("test",), draws=draws)["m"]
    np.testing.assert_array_equal(windows.values, again.values)
    other = embed_task(Ramps(), {"m": starts}, splits=("test",), draws=draws._replace(seed=1))["m"]
    assert not np.array_equal(windows.values, other.values)
    many = embed_task(Ramps(), {"m": starts}, splits=(), draws=Draws(("train", "test"), 5_000))
    values = many["m"].values
    assert values.max() <= 80_000 - 15_600


def test_which_windows_a_protocol_needs():
    every = ("train", "val", "test")
    settings = Settings()
    assert settings.cuts(*every) == (["test", "val"], Draws(["test", "train", "val"], 8, 0))
    heads = dataclasses.replace(settings, protocols=("linear", "sgd"))
    assert heads.cuts(*every) == (["test", "val"], Draws(["train"], 8, 0))
    spl = dataclasses.replace(heads, judge="slices")
    assert spl.cuts(*every) == ([], Draws(["test", "train", "val"], 8, 0))
    assert spl.cuts("val", "test") == ([], Draws(["test", "val"], 8, 0))
    grid = dataclasses.replace(settings, train_slices=0)
    assert grid.cuts(*every) == (["test", "train", "val"], Draws([], 8, 0))


def test_drawn_windows_are_kept_on_disk(tmp_path):
    cache, draws = EmbeddingCache(tmp_path), Draws(("train", "test"), 3)
    first, again, other = Counting("a"), Counting("a"), Counting("a")
    before = embed_task(Tones(), {"m": first.embedder}, draws=draws, cache=cache)["m"]
    after = embed_task(Tones(), {"m": again.embedder}, draws=draws, cache=cache)["m"]
    assert again.windows == 0
    np.testing.assert_array_equal(before.drawn, after.drawn)
    assert 0 < before.drawn.sum() < len(before.drawn)
    plain = embed_task(Tones(), {"m": other.embedder}, cache=cache)["m"]
    assert (other.windows, plain.drawn, plain.judge) == (28, None, "clips")


def test_a_second_time_nothing_is_embedded(tmp_path, caplog):
    data, first, again = Tones(), Counting("a"), Counting("a")
    caplog.set_level("INFO")
    before = embed_task(data, {"m": first.embedder}, cache=EmbeddingCache(tmp_path))["m"]
    assert (first.windows, data.reads) == (28, 1)
    after = embed_task(data, {"m": again.embedder}, cache=EmbeddingCache(tmp_path))["m"]
    assert (again.windows, data.reads) == (0, 1)
    assert "embeddings reused from" in caplog.text
    for field in ("labels", "splits", "clip", "values"):
        np.testing.assert_array_equal(getattr(before, field), getattr(after, field))
        assert getattr(before, field).dtype == getattr(after, field).dtype
    assert before.classes == after.classes


def test_only_what_is_missing_is_embedded(tmp_path):
    cache, data, known, new = EmbeddingCache(tmp_path), Tones(), Counting("a"), Counting("b", 2.0)
    embed_task(data, {"known": known.embedder}, cache=cache)
    both = {"new": new.embedder, "known": known.embedder}
    found = embed_task(data, both, cache=cache)
    assert (known.windows, new.windows) == (28, 28)
    assert list(found) == ["new", "known"]
    np.testing.assert_allclose(found["new"].values, 2 * found["known"].values)


@pytest.mark.parametrize("change", ["weights", "data", "frames", "no key", "damage"])
def test_what_changes_is_embedded_again(change, tmp_path):
    cache, data, frames = EmbeddingCache(tmp_path), Tones(), 96
    embed_task(data, {"m": Counting("a").embedder}, cache=cache)
    again = Counting("a")
    if change == "weights":
        again = Counting("b")
    elif change == "data":
        data.version = "2"
    elif change == "frames":
        frames = 48
    elif change == "no key":
        again = Counting(None)
    else:
        (path,) = tmp_path.iterdir()
        path.write_bytes(path.read_bytes()[:1000])
    embed_task(data, {"m": again.embedder}, frames, cache=cache)
    assert again.windows >= 28


def test_keys_follow_weights_and_architecture(tmp_path):
    encoder, same, other = tiny_encoder(0), tiny_encoder(0), tiny_encoder(1)
    assert encoder_key(encoder) == encoder_key(same) == keras_embedder(same).key
    assert encoder_key(encoder) != encoder_key(other)
    other.set_weights(encoder.get_weights())
    assert encoder_key(encoder) == encoder_key(other)
    weights = encoder.get_weights()
    weights[-1][0, 0] += 1e-6
    encoder.set_weights(weights)
    assert encoder_key(encoder) != encoder_key(other)
    path = tmp_path / "m.tflite"
    path.write_bytes(b"one")
    before = file_key(path)
    path.write_bytes(b"two")
    assert file_key(path) != before


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    cache = EmbeddingCache(tmp_path)
    windows = embed_task(Tones(), {"m": Counting("a").embedder}, cache=cache)["m"]
    assert len(windows.clip) == 28  # the result does not depend on the disk
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(A2vError, match="cannot write --cache_dir"):
        EmbeddingCache(pathlib.Path(tmp_path / "file"))


def test_data_that_cannot_train_a_head():
    class OneClass(Tones):
        def clips(self, max_bad_fraction=0.1):
            return (x for x in super().clips() if x[0].split != "train" or x[0].label == "low")

    class NoTest(Tones):
        def clips(self, max_bad_fraction=0.1):
            return (x for x in super().clips() if x[0].split != "test")

    for data, message in ((OneClass(), "one class"), (NoTest(), "no readable test clips")):
        with pytest.raises(A2vError, match=message):
            embed_task(data, {"m": spectrogram_embedder()})

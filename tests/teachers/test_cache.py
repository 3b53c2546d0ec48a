"""The cache of teachers' outputs: what it holds, and that it survives kills, damage and moves."""

import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds

from a2v_tf.audio.read import SLICE_SAMPLES
from a2v_tf.data.sources import open_source
from a2v_tf.errors import A2vError
from a2v_tf.frontend import log_mel
from a2v_tf.teachers import Teacher, cache
from a2v_tf.teachers.base import fingerprint
from a2v_tf.teachers.cache import TeacherCache, fill, held_out


class Counting:
    """A teacher that gives peak and mean of a slice, and counts the slices it was given."""

    def __init__(self, name: str = "peak", version: int = 1) -> None:
        self.slices = 0
        self.teacher = Teacher(name, 2, self, "MIT", "here", fingerprint(name, version))

    def __call__(self, pcm: np.ndarray) -> np.ndarray:
        self.slices += len(pcm)
        return np.stack([pcm.max(1), pcm.mean(1)], 1)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "SHARD", 4)


@pytest.fixture
def sounds() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (6, 80_000)).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: pathlib.Path, sounds: np.ndarray) -> pathlib.Path:
    """Six recordings with 1, 5, 3, 2, 4 and 1 slices; the last one is shorter than a slice."""
    folder = tmp_path / "corpus"
    (folder / "below").mkdir(parents=True)
    for i, seconds in enumerate((1.3, 5.0, 3.2, 2.0, 4.1)):
        soundfile.write(folder / f"below/sound_{i}.wav", sounds[i, : int(seconds * 16_000)], 16_000)
    soundfile.write(folder / "short.flac", sounds[5, :8_000], 16_000)
    return folder


def filled(corpus: pathlib.Path, directory: pathlib.Path, *teachers: Counting) -> TeacherCache:
    return fill(open_source(str(corpus)), [each.teacher for each in teachers], directory)


def test_holds_each_slice_with_its_log_mel_and_outputs(corpus, tmp_path):
    peak = Counting()
    found = filled(corpus, tmp_path / "cache", peak)
    assert found.clips == (*(f"below/sound_{i}.wav" for i in range(5)), "short.flac")
    assert list(found.clip) == [0] + [1] * 5 + [2] * 3 + [3] * 2 + [4] * 4 + [5]
    assert found.clip.dtype == found.start.dtype == np.int32
    assert found.teachers == {"peak": 2}
    assert peak.slices == len(found) == 16
    source = open_source(str(corpus))
    for i, (clip, start) in enumerate(zip(found.clip, found.start, strict=True)):
        (pcm,) = source.read_spans([(clip, 0, source.clips()[clip].samples)])
        pcm = pcm[start * 160 : start * 160 + SLICE_SAMPLES]
        pcm = np.pad(pcm, (0, SLICE_SAMPLES - len(pcm)))
        np.testing.assert_allclose(found.outputs("peak")[i], [pcm.max(), pcm.mean()], rtol=1e-3)
        expected = log_mel(tf.constant(pcm)).numpy().astype(np.float16)
        np.testing.assert_allclose(found.log_mel()[i], expected, rtol=1e-3)


def test_without_teachers_it_holds_log_mel(corpus, tmp_path):
    assert filled(corpus, tmp_path / "cache").log_mel().shape == (16, 96, 64)


def test_rows_are_read_by_index_slice_mask_or_all(corpus, tmp_path):
    rows = filled(corpus, tmp_path / "cache", Counting()).outputs("peak")
    everything = np.asarray(rows)
    assert rows.shape == everything.shape == (16, 2)
    assert rows.dtype == everything.dtype == np.float16
    assert np.asarray(rows, np.float32).dtype == np.float32
    for index in (3, -1, slice(2, 11, 3), [15, 0, 7, 7], [], everything[:, 0] > 0.499):
        np.testing.assert_array_equal(rows[index], everything[index])
    with pytest.raises(IndexError):
        rows[16]


def test_what_is_there_is_not_computed_again(corpus, tmp_path):
    first, again, other = Counting(), Counting(), Counting("other")
    before = filled(corpus, tmp_path / "cache", first)
    moved = shutil.move(corpus, tmp_path / "elsewhere")
    after = filled(moved, tmp_path / "cache", again, other)
    assert first.slices == other.slices == 16
    assert again.slices == 0
    np.testing.assert_array_equal(before.outputs("peak")[:], after.outputs("peak")[:])
    newer = Counting(version=2)
    filled(moved, tmp_path / "cache", newer)
    assert newer.slices == 16


def test_another_corpus_has_a_cache_of_its_own(corpus, tmp_path, sounds, caplog):
    filled(corpus, tmp_path / "cache", Counting())
    soundfile.write(corpus / "new.wav", sounds[0], 16_000)
    peak = Counting()
    assert len(filled(corpus, tmp_path / "cache", peak)) == peak.slices == 21
    assert "caches of 1 other corpora, not of these clips" in caplog.text


def test_outputs_do_not_depend_on_the_number_of_workers(corpus, tmp_path):
    source, peak = open_source(str(corpus)), Counting().teacher
    one = fill(source, [peak], tmp_path / "one", workers=1)
    five = fill(source, [peak], tmp_path / "five", workers=5)
    for a, b in ((one.log_mel(), five.log_mel()), (one.outputs("peak"), five.outputs("peak"))):
        np.testing.assert_array_equal(a[:], b[:])


def test_nearly_silent_slices_are_left_out(corpus, tmp_path, sounds):
    pcm = sounds[0].copy()
    pcm[16_000:48_000] *= 0.019  # below 0.01
    soundfile.write(corpus / "zz_pause.wav", pcm, 16_000)
    soundfile.write(corpus / "zz_quiet.wav", pcm[16_000:48_000], 16_000)
    soundfile.write(corpus / "zz_silent.wav", np.zeros(80_000), 16_000)
    found = filled(corpus, tmp_path / "cache", Counting())
    starts = found.start[found.clip == 6]
    assert len(starts) == 3
    assert not ((starts * 160 >= 16_000) & (starts * 160 + SLICE_SAMPLES <= 48_000)).any()
    assert not (found.clip > 6).any()
    assert len(found.clips) == 9


def test_a_corpus_without_loud_slices(tmp_path, noise_of):
    with pytest.raises(A2vError, match="no slice of 975 ms has a peak above -40 dBFS"):
        filled(noise_of(0.005, 32_000), tmp_path / "cache", Counting())
    with pytest.raises(A2vError, match="no slice of 975 ms has a peak above -40 dBFS"):
        filled(noise_of(0.5, 300), tmp_path / "cache", Counting())


@pytest.fixture
def noise_of(tmp_path: pathlib.Path) -> Callable[[float, int], pathlib.Path]:
    """A folder with one recording, of a peak and a length."""

    def make(peak: float, samples: int) -> pathlib.Path:
        folder = tmp_path / f"noise_{samples}"
        folder.mkdir()
        pcm = np.random.default_rng(1).uniform(-peak, peak, samples)
        soundfile.write(folder / "noise.wav", pcm, 16_000)
        return folder

    return make


# --- Bad clips ------------------------------------------------------------------------------------


def damage(path: pathlib.Path) -> None:
    """Make the end of a FLAC file unreadable; its header stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)


def test_bad_clips_are_named_counted_and_skipped_also_in_a_later_run(
    corpus, tmp_path, sounds, caplog
):
    soundfile.write(corpus / "bad.flac", sounds[0], 16_000)
    damage(corpus / "bad.flac")
    for run in range(2):
        caplog.clear()
        source = open_source(str(corpus), max_bad_fraction=0.2)
        peak = Counting()
        found = fill(source, [peak.teacher], tmp_path / "cache")
        assert found.clips[0] == "bad.flac"
        assert 0 not in found.clip
        assert len(found) == 16
        assert f"skipped {corpus / 'bad.flac'}: " in caplog.text
        assert len(source.bad) == 1
        assert peak.slices == (0 if run else 16)


def test_too_many_bad_clips(corpus, tmp_path, sounds):
    soundfile.write(corpus / "bad.flac", sounds[0], 16_000)
    damage(corpus / "bad.flac")
    with pytest.raises(A2vError, match="1 of 7 files cannot be used, more than max_bad_fraction"):
        filled(corpus, tmp_path / "cache", Counting())


def test_a_clip_that_went_bad(corpus, tmp_path, sounds):
    soundfile.write(corpus / "clip.flac", sounds[0], 16_000)
    options = {"max_bad_fraction": 1.0}
    fill(open_source(str(corpus), **options), [], tmp_path / "cache")
    damage(corpus / "clip.flac")  # of the same size
    with pytest.raises(A2vError, match="a clip that could be read before cannot any more"):
        fill(open_source(str(corpus), **options), [Counting().teacher], tmp_path / "cache")


# --- Kills and damage -----------------------------------------------------------------------------


def test_an_interrupted_run_is_continued(corpus, tmp_path):
    calls: list[int] = []

    def interrupted(pcm: np.ndarray) -> np.ndarray:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(len(pcm))
        return np.stack([pcm.max(1), pcm.mean(1)], 1)

    killed = Teacher("peak", 2, interrupted, "MIT", "here", fingerprint("peak", 1))
    with pytest.raises(KeyboardInterrupt):
        fill(open_source(str(corpus)), [killed], tmp_path / "cache", workers=1)
    peak = Counting()
    assert len(filled(corpus, tmp_path / "cache", peak)) == 16
    assert peak.slices == 8


@pytest.mark.slow
def test_a_killed_process_is_continued(corpus, tmp_path):
    script = textwrap.dedent("""
        import sys, time
        from a2v_tf.data.sources import open_source
        from a2v_tf.teachers import Teacher, cache
        from a2v_tf.teachers.base import fingerprint

        cache.SHARD = 4

        def slow(pcm):
            time.sleep(1)
            return pcm[:, :2]

        teacher = Teacher("peak", 2, slow, "MIT", "here", fingerprint("peak", 1))
        cache.fill(open_source(sys.argv[1]), [teacher], sys.argv[2], workers=1)
    """)
    process = subprocess.Popen([sys.executable, "-c", script, corpus, tmp_path / "cache"])
    while not list((tmp_path / "cache").glob("*/peak-*/00001.npy")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = list((tmp_path / "cache").glob("*/peak-*/0*.npy"))
    peak = Counting()
    assert len(filled(corpus, tmp_path / "cache", peak)) == 16
    assert peak.slices == 16 - 4 * len(done)


@pytest.mark.parametrize(
    ("pattern", "change", "again"),
    [
        ("peak-*/00001.npy", lambda path: path.write_bytes(path.read_bytes()[:-1]), 4),
        ("peak-*/00001.npy", lambda path: path.write_bytes(b""), 4),
        ("peak-*/00001.npy", lambda path: np.save(path, np.zeros((3, 2), np.float16)), 4),
        ("peak-*/00001.npy", lambda path: np.save(path, np.zeros((4, 2), np.float32)), 4),
        ("peak-*/00001.npy", lambda path: np.save(path, np.full((4, 2), np.nan, np.float16)), 4),
        ("peak-*/00001.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), 4),
        ("log_mel/00002.npy", lambda path: path.write_bytes(path.read_bytes()[:5_000]), 4),
        ("slices/00000.npz", lambda path: path.write_bytes(path.read_bytes()[:200]), 4),
        ("slices/00000.npz", pathlib.Path.unlink, 4),
        ("*/0000[13].np*", pathlib.Path.unlink, 8),
    ],
)
def test_damaged_and_missing_shards_are_computed_again(
    corpus, tmp_path, caplog, pattern, change, again
):
    before = filled(corpus, tmp_path / "cache", Counting())
    outputs, spectrograms = np.asarray(before.outputs("peak")), np.asarray(before.log_mel())
    for path in list((tmp_path / "cache").glob(f"*/{pattern}")):
        change(path)
    peak = Counting()
    after = filled(corpus, tmp_path / "cache", peak)
    assert peak.slices == again
    assert ("is damaged, computed again: " in caplog.text) == (change is not pathlib.Path.unlink)
    np.testing.assert_array_equal(after.outputs("peak")[:], outputs)
    np.testing.assert_array_equal(after.log_mel()[:], spectrograms)
    unused = Counting()
    filled(corpus, tmp_path / "cache", unused)
    assert unused.slices == 0


# --- Held-out clips -------------------------------------------------------------------------------


def test_about_one_of_sixteen_clips_is_held_out_with_its_source():
    names = [f"speech/book_{book}_{part:03d}.wav" for book in range(2_000) for part in range(5)]
    held = held_out(names)
    assert 0.045 < held.mean() < 0.08
    assert not (held.reshape(-1, 5).any(1) ^ held.reshape(-1, 5).all(1)).any()
    half = held_out(names[::2])
    np.testing.assert_array_equal(half, held[::2])


def test_clips_that_differ_by_number_alone_are_held_out_one_by_one():
    held = held_out([f"scene_{i:04d}.wav" for i in range(2_000)])
    assert 0.045 < held.mean() < 0.08


def test_at_least_one_of_several_clips_is_held_out():
    assert held_out(["a.wav", "b.wav", "c.wav"]).sum() == 1
    assert held_out(["a.wav"]).sum() <= 1


# --- Sources and errors ---------------------------------------------------------------------------


def test_a_tfds_data_set(tmp_path, monkeypatch, sounds):
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))
    audio = tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")
    pcm = (sounds * 32_000).astype(np.int16)
    tfds.dataset_builders.store_as_tfds_dataset(
        name="clips",
        version="1.0.0",
        features=tfds.features.FeaturesDict({"audio": audio}),
        split_datasets={"train": [(i, {"audio": one}) for i, one in enumerate([*pcm, pcm[0, :0]])]},
        data_dir=tmp_path,
        download_config=tfds.download.DownloadConfig(num_shards=3),
    )
    peak = Counting()
    found = fill(open_source("tfds:clips"), [peak.teacher], tmp_path / "cache")
    assert len(found) == 30
    assert sorted(np.bincount(found.clip, minlength=7)) == [0, 5, 5, 5, 5, 5, 5]
    expected = sorted(one[:15_600].max() / 32_768 for one in pcm)
    np.testing.assert_allclose(
        sorted(found.outputs("peak")[found.start == 0][:, 0]), expected, rtol=1e-3
    )


def test_a_source_that_cannot_list_its_clips(tmp_path):
    class Spectrograms:
        def describe(self) -> str:
            return "spectrogram:here"

    with pytest.raises(A2vError, match="spectrogram:here: its clips cannot be listed: expected a"):
        fill(Spectrograms(), [], tmp_path)


def test_a_directory_that_cannot_be_written(corpus, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(A2vError, match=r"cannot write the cache .*file.*: Not a directory"):
        filled(corpus, tmp_path / "file/cache", Counting())


def test_a_teacher_that_is_wrong(corpus, tmp_path):
    wrong = Teacher("wrong", 3, lambda pcm: pcm[:, :2], "MIT", "here", "0" * 64)
    with pytest.raises(A2vError, match=r"teacher wrong: gave float32 of shape \(4, 2\) for 4"):
        fill(open_source(str(corpus)), [wrong], tmp_path / "cache")


def test_a_teacher_twice(corpus, tmp_path):
    with pytest.raises(A2vError, match="teachers peak, peak: expected each of them once"):
        filled(corpus, tmp_path / "cache", Counting(), Counting())

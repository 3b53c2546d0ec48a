import hashlib
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_datasets as tfds

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data import sampling, tfds_source
from a2v_tf.data.sources import one_line_errors, open_source
from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END, log_mel
from tests.data.conftest import frame_numbers, frame_of

NEEDED = 400


@pytest.fixture(autouse=True)
def data_dir(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Set TFDS's data_dir; TFDS reads TFDS_DATA_DIR only once, when it is imported."""
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))
    return tmp_path


def _store(data_dir, name, clips, audio=None, shards=1, file_format=None):
    """Prepare a data set with the splits of `clips`, {split: [array, ...]}."""
    audio = audio or tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")
    label = tfds.features.ClassLabel(num_classes=3)
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict({"audio": audio, "label": label}),
        split_datasets={
            split: [(index, {"audio": clip, "label": 1}) for index, clip in enumerate(clips)]
            for split, clips in clips.items()
        },
        data_dir=data_dir,
        file_format=file_format,
        download_config=tfds.download.DownloadConfig(num_shards=shards),
    )


def _take(source, count, samples=NEEDED, seed=1, round_index=0):
    crops = source.crops(samples, seed=seed, round_index=round_index).take(count)
    return [pcm for pcm, _ in crops.as_numpy_iterator()]


def test_every_position_of_short_and_long_clips_is_equally_likely(data_dir):
    clips = [frame_numbers(7), 100 + frame_numbers(30), 1000 + frame_numbers(62)]
    _store(data_dir, "clips", {"train": clips * 30}, shards=2)
    source = open_source("tfds:clips")
    starts = np.array([frame_of(crop) for crop in _take(source, 4_000)])
    values, counts = np.unique(starts, return_counts=True)
    np.testing.assert_array_equal(values, [*range(5), *range(100, 128), *range(1000, 1060)])
    assert scipy.stats.chisquare(counts).pvalue > 0.01


@pytest.mark.parametrize("as_log_mel", [False, True])
def test_places_say_where_in_its_clip_a_crop_is(data_dir, as_log_mel):
    clips = [100 + frame_numbers(7), 1000 + frame_numbers(30)]
    _store(data_dir, "clips", {"train": clips * 3})
    source = open_source("tfds:clips")
    options = {"seed": 1, "round_index": 0}
    placed = source.crops(NEEDED, **options, places=True, as_log_mel=as_log_mel).take(60)
    plain = source.crops(NEEDED, **options).take(60)
    for (_, clip, (k, n, first)), (pcm, same_clip) in zip(
        placed.as_numpy_iterator(), plain.as_numpy_iterator(), strict=True
    ):
        assert clip == same_clip
        begin, positions = (1000, 28) if frame_of(pcm) >= 1000 else (100, 5)
        assert (k, n, first) == (frame_of(pcm) - begin, positions, 0)


@pytest.mark.parametrize("crops_per_clip", [1, 3])
def test_several_crops_per_clip_are_stratified(data_dir, crops_per_clip):
    """Each third of a clip gives equally many; all positions are equally likely; reproducible."""
    clips = [100 * index + frame_numbers(32) for index in range(40)]  # 30 positions
    _store(data_dir, "clips", {"train": clips}, shards=2)
    source = open_source("tfds:clips")

    def crops(count):
        drawn = source.crops(NEEDED, seed=1, round_index=4, crops_per_clip=crops_per_clip)
        return [frame_of(pcm) for pcm, _ in drawn.take(count).as_numpy_iterator()]

    epoch = 40 * crops_per_clip
    starts = np.array(crops(10 * epoch))
    for begin in range(0, len(starts), epoch):
        clip, position = np.divmod(starts[begin : begin + epoch], 100)
        np.testing.assert_array_equal(np.bincount(clip), [crops_per_clip] * 40)
        by_clip = position[np.lexsort((position, clip))].reshape(40, crops_per_clip)
        parts = by_clip // (30 // crops_per_clip)
        np.testing.assert_array_equal(parts, [range(crops_per_clip)] * 40)
    assert scipy.stats.chisquare(np.bincount(starts % 100, minlength=30)).pvalue > 0.01
    assert crops(50) == starts[:50].tolist()


def test_log_mel_of_whole_clips_equals_that_of_crops(data_dir, noise):
    _store(
        data_dir,
        "clips",
        {"train": [noise(8_000, i) for i in range(9)] + [np.zeros(8_000, np.int16)]},
    )
    source = open_source("tfds:clips")
    assert source.gives_log_mel
    samples = FRONT_END.samples(5)

    def crops(as_log_mel):
        drawn = source.crops(
            samples, seed=1, round_index=0, crops_per_clip=2, as_log_mel=as_log_mel
        )
        return list(drawn.take(50).as_numpy_iterator())

    for (frames, clip), (pcm, same_clip) in zip(crops(True), crops(False), strict=True):
        assert clip == same_clip  # nor does the silent clip come up
        np.testing.assert_allclose(frames, log_mel(pcm), atol=1e-4)


@pytest.mark.parametrize("samples", [400, 480, 401])
def test_crops_are_pieces_of_the_clip_at_whole_hops(data_dir, samples):
    clip = np.arange(3_000, dtype=np.int16)
    _store(data_dir, "clips", {"train": [clip] * 4})
    crops = np.array(_take(open_source("tfds:clips"), 40, samples=samples))
    starts = np.rint(crops[:, 0] * 32_768).astype(int)
    assert set(starts % 160) == {0}
    np.testing.assert_array_equal(crops * 32_768, starts[:, None] + np.arange(samples))


def test_sub_splits_and_short_rounds_reach_every_clip(data_dir):
    clips = [np.full(800, index + 1, np.int16) for index in range(24)]
    _store(data_dir, "clips", {"train": clips, "test": clips[:3]}, shards=3)

    def seen(split: str) -> set[int]:
        source = open_source(f"tfds:clips:{split}")
        rounds = tf.data.Dataset.range(40).flat_map(
            lambda index: source.crops(NEEDED, seed=1, round_index=index).take(6)
        )
        return {frame_of(pcm) + 1 for pcm, _ in rounds.as_numpy_iterator()}

    def stored(split: str) -> set[int]:
        dataset = tfds.builder("clips").as_dataset(split=split)
        return {int(example["audio"][0]) for example in dataset}

    for split in ("train", "train[:50%]", "train[7:19]", "test", "test[1:]+train[:2]"):
        assert seen(split) == stored(split), split
    assert len(stored("train[:50%]")) == 12


@pytest.mark.parametrize("seed", [0, 7])
def test_the_stream_does_not_depend_on_tensorflows_global_seed(data_dir, noise, seed):
    _store(data_dir, "clips", {"train": [noise(4_000, i) for i in range(12)]}, shards=2)
    source = open_source("tfds:clips")
    before = _take(source, 20, 1600)
    tf.random.set_seed(seed)
    np.testing.assert_array_equal(_take(source, 20, 1600), before)


def test_crops_have_the_number_of_their_clip(data_dir):
    clips = [np.full(800 + 160 * i, 100 * (i + 1), np.int16) for i in range(10)]
    _store(data_dir, "clips", {"train": clips, "test": clips}, shards=3)
    crops = open_source("tfds:clips:train").crops(NEEDED, seed=1, round_index=0).take(300)
    drawn = {(round(pcm[0] * 32_768), int(clip)) for pcm, clip in crops.as_numpy_iterator()}
    assert (
        len(drawn) == len({level for level, _ in drawn}) == len({clip for _, clip in drawn}) == 10
    )


_FINGERPRINT = """
import hashlib, sys
from a2v_tf.data.sources import open_source
crops = open_source("tfds:clips:train[:90%]").crops(1600, seed=3, round_index=2).take(40)
print(hashlib.sha256(b"".join(c.tobytes() for c, _ in crops.as_numpy_iterator())).hexdigest())
"""


def test_the_stream_is_the_same_in_another_process_and_in_flat_map(data_dir, noise):
    _store(data_dir, "clips", {"train": [noise(4_000, seed) for seed in range(30)]}, shards=4)
    other = subprocess.run(
        [sys.executable, "-c", _FINGERPRINT],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TFDS_DATA_DIR": str(data_dir)},
    )
    source = open_source("tfds:clips:train[:90%]")
    rounds = tf.data.Dataset.range(2, 9).flat_map(
        lambda index: source.crops(1600, seed=3, round_index=index).take(40)
    )
    here = [pcm for pcm, _ in rounds.take(80).as_numpy_iterator()]
    digest = hashlib.sha256(b"".join(crop.tobytes() for crop in here[:40])).hexdigest()
    assert other.stdout.strip() == digest
    np.testing.assert_array_equal(here[40:], _take(source, 40, 1600, 3, 3))
    assert not np.array_equal(here[:40], here[40:])


_INT64 = tfds.features.Audio(shape=(None,), dtype=np.int64, sample_rate=16_000)
_STEREO = tfds.features.Tensor(shape=(None, 2), dtype=np.int16, encoding="bytes")
_FLOAT = tfds.features.Tensor(shape=(16_000,), dtype=np.float32)


@pytest.mark.parametrize("audio", [_INT64, _STEREO, _FLOAT], ids=["int64", "stereo", "float"])
def test_all_kinds_of_audio_features(data_dir, noise, audio, caplog):
    pcm = np.stack([noise(16_000, 1), noise(16_000, 2)], axis=1)
    pcm = pcm if len(audio.shape) == 2 else pcm[:, 0]
    stored = pcm / np.float32(32_768) if audio is _FLOAT else pcm
    _store(data_dir, "clips", {"train": [stored.astype(audio.np_dtype)]}, audio)
    crop = _take(open_source("tfds:clips"), 1, 8_000)[0]
    mono = pcm.astype(np.float32).reshape(16_000, -1).mean(axis=1) / 32_768
    assert crop.dtype == np.float32
    errors = [np.abs(mono[s : s + 8_000] - crop).max() for s in range(0, 8_001, 160)]
    assert min(errors) < 1e-6
    assumed = any("16000 Hz assumed" in record.getMessage() for record in caplog.records)
    assert assumed == (audio is not _INT64)


def test_other_rates_are_resampled_in_time(data_dir):
    t = np.arange(44_100 * 2) / 44_100
    pcm = 8_000 * (np.sin(2 * np.pi * 1_000 * t) + np.sin(2 * np.pi * 10_000 * t))
    audio = tfds.features.Audio(shape=(None,), dtype=np.int16, sample_rate=44_100)
    _store(data_dir, "clips", {"train": [pcm.astype(np.int16)]}, audio)
    # 1 kHz repeats every 16 samples, and frames are 160 samples: every crop has the same phase.
    expected = 8_000 / 32_768 * np.sin(2 * np.pi * np.arange(4_000) / 16)
    middle = [c for c in _take(open_source("tfds:clips"), 12, 4_000) if c[0] < 1e-3]
    assert len(middle) > 6
    for crop in middle:
        np.testing.assert_allclose(crop[200:-200], expected[200:-200], rtol=0, atol=1e-3)


def test_only_the_audio_is_parsed(data_dir, noise):
    _store(data_dir, "clips", {"train": [noise(4_000)]})
    source = tfds_source.TfdsSource("clips", BadFiles(0.1))
    pcm = tf.train.BytesList(value=[np.arange(5, dtype=np.int16).tobytes()])
    # The label is not parsed, so it may be missing.
    features = tf.train.Features(feature={"audio": tf.train.Feature(bytes_list=pcm)})
    example = tf.train.Example(features=features).SerializeToString()
    np.testing.assert_array_equal(source.decode(tf.constant(example)), np.arange(5))


def test_bad_clips_are_skipped_logged_and_counted(data_dir, noise, caplog):
    good = [noise(4_000, seed).astype(np.float32) / 32_768 for seed in range(20)]
    bad = [np.full(4_000, np.nan, np.float32), good[0][:300], np.zeros(4_000, np.float32)]
    audio = tfds.features.Tensor(shape=(None,), dtype=np.float32, encoding="bytes")
    _store(data_dir, "clips", {"train": good + bad}, audio)
    source = open_source("tfds:clips", max_bad_fraction=0.2)
    for crop in _take(source, 100, 1_600):
        assert np.abs(crop).max() > 0.1
    assert len(source.bad) == 2
    assert source.describe() == "tfds:clips: 23 clips, about 0.00 hours, 2 skipped"
    messages = [r.getMessage() for r in caplog.records if "clips-train.tfrecord-" in r.getMessage()]
    assert len(messages) == 3
    assert sum("is too short: 0.02 s, a crop needs 0.10 s" in text for text in messages) == 1
    strict = open_source("tfds:clips", max_bad_fraction=0.05)
    with pytest.raises(A2vError, match=r"^2 of \d+ clips seen.*00000-of-00001__\d+: ") as error:  # noqa: SIM117
        with one_line_errors(strict):
            _take(strict, 100, 1_600)
    assert "\n" not in str(error.value)


def test_a_silent_data_set_is_an_error_and_does_not_hang(data_dir):
    _store(data_dir, "clips", {"train": [np.zeros(4_000, np.int16)] * 3})
    source = open_source("tfds:clips")
    with pytest.raises(A2vError, match="a whole epoch gave no usable crop"):  # noqa: SIM117
        with one_line_errors(source):
            _take(source, 1)


def test_specs_that_cannot_be_used(data_dir, noise):
    _store(data_dir, "clips", {"train": [noise(4_000)]})
    _store(data_dir, "rows", {"train": [noise(4_000)]}, file_format="array_record")
    text = tfds.features.Tensor(shape=(), dtype=np.int16)
    _store(data_dir, "number", {"train": [np.int16(3)]}, text)
    for data, reason in [
        ("tfds:", "expected tfds:NAME"),
        ("tfds:there_is_no_such_set", "TFDS knows no data set 'there_is_no_such_set'"),
        ("tfds:gtzan", r"run `tfds build gtzan` \(which needs apache-beam\), or set TFDS_DATA_DIR"),
        ("tfds:audioset:eval", "`python -m a2v_tf.data.builders --name=audioset --manual_dir=DIR`"),
        ("tfds:nsynth/nothing", "BuilderConfig nothing not found"),
        ("tfds:clips:valid", "no split 'valid'; there are train"),
        ("tfds:clips:train[5:]", "is empty|no split"),
        ("tfds:number", "its audio is Tensor.*expected numbers"),
        ("tfds:rows", "is stored as array_record, expected tfrecord"),
    ]:
        with pytest.raises(A2vError, match=reason) as error:
            open_source(data)
        assert str(error.value).startswith(f"data={data}: ")
        assert "\n" not in str(error.value)
    with pytest.raises(A2vError, match=r"last at most 0.25 s, a crop needs 1.00 s"):
        open_source("tfds:clips").check(16_000)


def test_most_short_clips_give_a_crop(data_dir):
    # With one draw per 500 positions, 10 clips of 2 positions would give a crop in 25 epochs.
    _store(data_dir, "clips", {"train": [frame_numbers(4)] * 10})
    source = open_source("tfds:clips")
    _take(source, 50)
    assert source._visits < 50 * 4
    assert sampling.STRATUM == 500


def test_workers_crops_concatenate_to_all_crops(data_dir, noise):
    _store(data_dir, "clips", {"train": [noise(4_000 + 400 * i, i) for i in range(7)]}, shards=3)
    source = open_source("tfds:clips")

    def of_worker(worker):
        share = sampling.Share(worker, workers=2, block=3)
        crops = source.crops(NEEDED, seed=1, round_index=0, share=share).take(30)
        return [pcm for pcm, _ in crops.as_numpy_iterator()]

    parts = [of_worker(0), of_worker(1)]
    joined = [crop for i in range(0, 30, 3) for part in parts for crop in part[i : i + 3]]
    np.testing.assert_array_equal(joined, _take(source, 60))

"""Batches: their shapes, their rounds, and what stays the same."""

import numpy as np
import pytest
import tensorflow as tf

from a2v_tf.data import sampling
from a2v_tf.data.sampling import EVERYTHING, Share
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.specs import BandLevels, Slicing
from a2v_tf.tasks import TASKS, multi_head
from a2v_tf.tasks.task import find_tasks
from a2v_tf.training.batches import (
    VALIDATION_ROUND,
    input_stats,
    labelled_batches,
    log_mel_crops,
    task_batches,
    training_batches,
    validation_batches,
)

SLICING = Slicing(frames=8, context=1, gap=2)


class Noise:
    """A source whose crops are a pure function of seed, round and place, as the contract says."""

    front_end = FRONT_END

    def crops(self, samples, *, seed, round_index, share=None):
        round_index = tf.cast(round_index, tf.int64)
        return tf.data.Dataset.range(tf.int64.max).map(
            lambda i: (
                0.1 * tf.random.stateless_normal([samples], [seed + round_index, i]),
                i % 3,
            )
        )


class Labelled:
    """Labelled data whose crops hold their label."""

    def __init__(self, name, classes, multi_label=False):
        self.name, self.classes, self.multi_label = name, classes, multi_label

    def crops(self, samples, *, seed, round_index, per_class=None, share=None):
        def crop(i):
            label = tf.cast(i % len(self.classes), tf.int32)
            pcm = tf.fill([samples], 0.01 * tf.cast(label + 1, tf.float32))
            return pcm, tf.one_hot(label, len(self.classes)) if self.multi_label else label

        return tf.data.Dataset.range(tf.int64.max).map(crop)


def batches(count, names=("cbow",), first_round=0, **options):
    one_round = task_batches(
        Noise(), find_tasks(names), SLICING, **{"batch_size": 2, "seed": 5, **options}
    )
    dataset = training_batches(one_round, steps_per_round=3, first_round=first_round)
    return list(dataset.take(count).as_numpy_iterator())


def flat(batch):
    return [np.asarray(value) for value in tf.nest.flatten(batch)]


@pytest.mark.parametrize("name", TASKS)
def test_shapes(name):
    ((x, y, w),) = batches(1, [name])
    slices = {"cbow": 2, "temporal_gap": 2, "contrastive": 2, "triplet": 3, "transposition": 3}
    assert x.shape == (2, slices.get(name, 1), 8, 64)
    outputs = {"cbow": 1, "skip_gram": 2, "autoencoder": 1}
    want = (2, outputs[name], 8, 64) if name in outputs else (2, 1)
    assert {key: value.shape for key, value in y.items()} == {name: want}
    assert w[name].shape == (2,) + (1,) * (len(want) - 2)


@pytest.mark.parametrize("name", ["cbow", "temporal_gap", "arrow_of_time", "triplet"])
@pytest.mark.parametrize("gain_db", [0.0, 6.0])
def test_a_round_is_the_same_wherever_one_starts(name, gain_db):
    whole = batches(9, [name], gain_db=gain_db)
    tail = batches(6, [name], first_round=1, gain_db=gain_db)
    for one, other in zip(whole[3:], tail, strict=True):
        for a, b in zip(flat(one), flat(other), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (whole[0][0] != whole[3][0]).any()


@pytest.mark.parametrize(
    ("names", "slices"),
    [
        (["cbow", "skip_gram"], 3),
        (["skip_gram", "autoencoder"], 1),
        (["temporal_gap", "triplet"], 3),
        (["contrastive", "transposition"], 5),
        (TASKS, 9),
    ],
)
def test_tasks_share_the_slices_that_they_have_in_common(names, slices):
    """And each gets the targets that it would get alone, from crops of the same length."""
    ((x, y, _),) = batches(1, names)
    assert x.shape[1] == slices
    alone_span = {name: multi_head.crop_frames(find_tasks([name]), SLICING) for name in names}
    for name in names:
        if alone_span[name] == SLICING.span:
            ((_, alone, _),) = batches(1, [name])
            np.testing.assert_array_equal(y[name], alone[name])


def test_skip_gram_is_cbow_the_other_way_round():
    ((cbow_x, cbow_y, _),) = batches(1, ["cbow"])
    ((skip_x, skip_y, _),) = batches(1, ["skip_gram"])
    np.testing.assert_array_equal(cbow_x, skip_y["skip_gram"])
    np.testing.assert_array_equal(skip_x, cbow_y["cbow"])


def test_backwards_slices_are_reversed_and_half_of_all():
    ((x, y, _),) = batches(1, ["arrow_of_time"], batch_size=400)
    ((forwards, _, _),) = batches(1, ["autoencoder"], batch_size=400)
    flipped = y["arrow_of_time"][:, 0].astype(bool)
    np.testing.assert_array_equal(x[~flipped], forwards[~flipped])
    np.testing.assert_array_equal(x[flipped], forwards[flipped][:, :, ::-1])
    assert 150 < flipped.sum() < 250


def test_triplets_take_the_negative_from_another_clip():
    """Crop i of `Noise` is of clip i % 3."""
    ((x, _, w),) = batches(1, ["triplet"], batch_size=30)
    clip_of = {x[i, 0].tobytes(): i % 3 for i in range(30)}
    assert all(clip_of[x[i, 2].tobytes()] != i % 3 for i in range(30))
    np.testing.assert_array_equal(w["triplet"], 1)
    ((_, _, w),) = batches(1, ["triplet"], batch_size=1)
    np.testing.assert_array_equal(w["triplet"], 0)  # nothing else in the batch


def test_contrastive_crops_of_one_clip_have_one_target():
    """Crop i of `Noise` is of clip i % 3."""
    ((x, y, _),) = batches(1, ["contrastive"], batch_size=8)
    np.testing.assert_array_equal(y["contrastive"][:, 0], [0, 1, 2, 0, 1, 2, 0, 1])
    ((gap_x, _, _),) = batches(1, ["temporal_gap"], batch_size=8)
    np.testing.assert_array_equal(x, gap_x)  # the same pairs


def test_transposition_hears_the_middle_slice_three_times():
    ((x, y, _),) = batches(1, ["transposition"], batch_size=8)
    ((middle, _, _),) = batches(1, ["autoencoder"], batch_size=8)
    np.testing.assert_array_equal(x, np.tile(middle, (1, 3, 1, 1)))  # the model moves the last
    np.testing.assert_array_equal(y["transposition"][:, 0], [0, 1, 2, 0, 1, 2, 0, 1])


class Numbered:
    """Clips of 30, 9 and 60 frames that count 1000 a clip; crops of them have places."""

    front_end = BandLevels(("a", "b"), 0.125)
    gives_places = True
    frames = np.array([30, 9, 60])
    bad = None

    def check(self, samples): ...

    def describe(self): ...

    def read(self, clip, first, frames):
        assert 0 <= first <= self.frames[clip] - frames
        numbers = 1000 * clip + first + np.arange(frames)
        return np.stack([numbers, -numbers], axis=1).astype(np.float32)

    def crops(self, samples, *, seed, round_index, share=EVERYTHING, places=False):
        positions = np.cumsum(np.maximum(self.frames - samples + 1, 0))

        def crop(i):
            total = int(positions[-1])
            drawn = sampling.uniform_int(sampling.key(seed, round_index, i), total)
            clip = tf.searchsorted(positions, [drawn], side="right", out_type=tf.int64)[0]
            n = tf.gather(self.frames, clip) - samples + 1
            k = drawn - tf.gather(positions, clip) + n
            values = tf.numpy_function(self.read, [clip, k, samples], tf.float32)
            crop = tf.ensure_shape(values, [samples, 2]), clip
            return (*crop, tf.stack([k, n, 0])) if places else crop

        return share.of(tf.data.Dataset.range(tf.int64.max)).map(crop)


def clip_batch(names, worker=EVERYTHING, rows=600):
    one_round = task_batches(
        Numbered(),
        find_tasks(names),
        Slicing(4, 1, 1, max_frames="clip"),
        batch_size=rows,
        seed=5,
        share=worker,
    )
    return next(iter(one_round(tf.constant(2, tf.int64)).as_numpy_iterator()))


def test_pairs_of_whole_clips_know_the_length_of_each():
    """N_max is "the length of the original sample" (ICLR section 3, "Temporal gap")."""
    x, y, _ = clip_batch(["cbow", "temporal_gap"])
    pair = x[:, 2:, 0, 0]
    clip = pair[:, 0] // 1000
    np.testing.assert_array_equal(clip, pair[:, 1] // 1000)
    np.testing.assert_array_equal(clip, y["cbow"][:, 0, 0, 0] // 1000)  # the same example
    longest = Numbered.frames[clip.astype(int)] - 4
    distance = np.abs(pair[:, 0] - pair[:, 1])
    np.testing.assert_allclose(y["temporal_gap"][:, 0], distance / longest, rtol=1e-6)
    for which, frames in ((0, 30), (2, 60)):  # clip 1 is too short for cbow
        assert distance[clip == which].max() > 0.9 * (frames - 4)
        assert distance[clip == which].min() < 0.1 * (frames - 4)
    assert set(clip) == {0, 2}
    alone, _, _ = clip_batch(["triplet"])
    assert set(alone[:, 0, 0, 0] // 1000) == {0, 1, 2}
    assert (alone[:, 0, 0, 0] // 1000 != alone[:, 2, 0, 0] // 1000).all()


def test_workers_share_the_pairs_of_whole_clips():
    whole, targets, _ = clip_batch(["temporal_gap"], rows=8)
    parts = [clip_batch(["temporal_gap"], Share(i, 2), rows=8) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate([x for x, _, _ in parts]), whole)
    theirs = np.concatenate([y["temporal_gap"] for _, y, _ in parts])
    np.testing.assert_array_equal(theirs, targets["temporal_gap"])


def test_labelled_batches_are_shared_equally_and_weigh_their_own_data_set_only():
    datasets = [Labelled("a", "xyz"), Labelled("b", "uv", multi_label=True)]
    one_round = labelled_batches(datasets, 8, batch_size=8, seed=0)
    x, labels, weights = next(iter(one_round(tf.constant(0, tf.int64))))
    assert x.shape == (8, 8, 64)
    assert labels["a"].numpy()[:4].tolist() == [0, 1, 2, 0]
    assert labels["b"].numpy()[4:].tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert weights["a"].numpy().tolist() == [1] * 4 + [0] * 4
    assert weights["b"].numpy().tolist() == [0] * 4 + [1] * 4
    np.testing.assert_array_equal(x[0], x[4])  # both label 0, so the same sound
    assert (x[0] != x[1]).numpy().any()


def test_gain_changes_the_level_of_whole_crops_within_bounds():
    """Far above the log's offset, a gain adds the same to every log-mel value of a crop."""

    def crops(**options):
        options = {"batch_size": 64, "seed": 5, "round_index": 0, **options}
        return next(iter(log_mel_crops(Noise(), 20, **options)))[0].numpy()

    plain, loud = crops(), crops(gain_db=6.0)
    change = 20 / np.log(10) * (loud - plain)[plain.min((1, 2)) > -2]
    assert np.ptp(change, axis=(1, 2)).max() < 2.0  # the quietest values feel the offset
    by_crop = np.median(change, axis=(1, 2))
    assert np.abs(by_crop).max() <= 6.01
    assert by_crop.min() < -3 < 3 < by_crop.max()


def test_validation_is_always_the_same_and_of_known_length():
    one_round = task_batches(Noise(), find_tasks(["cbow"]), SLICING, batch_size=2, seed=5)
    data = validation_batches(one_round, batch_size=2, examples=5)
    first, second = ([y["cbow"].numpy() for _, y, _ in data] for _ in range(2))
    assert len(first) == len(data) == 3  # whole batches
    np.testing.assert_array_equal(first, second)


def test_input_stats_are_mean_and_variance_of_the_values():
    stats = input_stats(Noise(), 30, seed=5, crops=64)
    crops = Noise().crops(FRONT_END.samples(30), seed=5, round_index=VALIDATION_ROUND)
    values = log_mel(np.stack([pcm for pcm, _ in crops.take(64).as_numpy_iterator()])).numpy()
    assert stats.mean == pytest.approx(values.mean(), abs=1e-5)
    assert stats.variance == pytest.approx(values.var(), rel=1e-4)

"""Where in a clip slices are cut: every position equally likely, whatever is learned together.

ICLR section 4 ("Datasets"), patent paragraph 65: each time "a different target slice ... uniformly
at random".
"""

import itertools

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from a2v_tf.specs import Slicing
from a2v_tf.tasks import TASKS, multi_head
from a2v_tf.tasks.crops import MIDDLE, PAIR, Crops
from a2v_tf.tasks.task import find_tasks

N = 3
DRAWS_A_PLACE = 60
# All sets of these heads cut as all sets of all tasks do: the others take the same slices.
KINDS = ("cbow", "skip_gram", "temporal_gap", "autoencoder", "transposition")


def all_crops(
    tasks, slicing: Slicing, clip_frames: int, seed: int, draws: int = DRAWS_A_PLACE
) -> Crops:
    """Crops from random places of a clip whose frames are numbered."""
    frames = multi_head.crop_frames(tasks, slicing)
    places = clip_frames - frames + 1
    count = draws * clip_frames
    k = np.random.default_rng(seed).integers(places, size=count)
    place = np.stack([k, np.full(count, places), np.zeros(count)], axis=1).astype(np.int64)
    numbers = (k[:, None] + np.arange(frames))[..., None].astype(np.float32)
    return Crops(
        tf.constant(numbers),
        tf.range(count, dtype=tf.int64) % 7,
        slicing,
        tf.constant([seed, 5], tf.int64),
        around=multi_head.around_frames(tasks, slicing),
        place=tf.constant(place) if multi_head.needs_places(tasks, slicing) else None,
    )


def assert_uniform(starts: np.ndarray, first: int, last: int) -> None:
    counts = np.bincount(starts.astype(int), minlength=last + 1)
    assert not counts[:first].any()
    assert len(counts) == last + 1
    # With some thousand tests, one in a million is rare enough; wrong ones have less than 1e-20.
    if first < last:
        assert scipy.stats.chisquare(counts[first:]).pvalue > 1e-6


HEADS = [heads for n in range(1, 6) for heads in itertools.combinations(KINDS, n)]


def test_every_task_takes_slices_of_these_kinds():
    def cuts(names):
        return {slices.cut for task in find_tasks(names) for slices in task.slices}

    # The middle slice, turned round, and the first of a pair.
    assert cuts(TASKS) - cuts(KINDS) == {Crops.maybe_backwards, Crops.other}


@pytest.mark.parametrize(
    ("max_frames", "sides"),
    [
        (None, {"context": 1}),
        (N, {"context": 1}),
        (20, {"context": 1}),
        (2 * N, {"context_before": 2, "context_after": 0}),
    ],
)
def test_slices_are_uniform_for_all_sets_of_heads(max_frames, sides):
    slicing = Slicing(N, gap=1, max_frames=max_frames, **sides)
    for seed, heads in enumerate(HEADS):
        tasks = find_tasks(heads)
        shortest = multi_head.crop_frames(tasks, slicing)
        for clip_frames in (shortest, shortest + 7):
            crops = all_crops(tasks, slicing, clip_frames, seed)
            takes_middle = any(MIDDLE in task.slices for task in tasks) or "cbow" in heads
            if takes_middle:
                has_context = {"cbow", "skip_gram"} & set(heads)
                before = slicing.before * slicing.stride if has_context else 0
                after = slicing.after * slicing.stride if has_context else 0
                starts = crops.middle().numpy()[:, 0, 0, 0]
                assert_uniform(starts, before, clip_frames - N - after)
                if has_context:
                    around = crops.surrounding().numpy()[:, :, 0, 0]
                    want = starts[:, None] + np.array(slicing.sides) * slicing.stride
                    np.testing.assert_array_equal(around, want)
            if any(PAIR in task.slices for task in tasks):
                pair = crops.pair().numpy()[:, :, 0, 0]
                gap = np.abs(pair[:, 0] - pair[:, 1])
                assert_uniform(gap, 0, slicing.reach - N)
                assert pair.min() >= 0
                assert pair.max() <= clip_frames - N
                if slicing.reach == N:  # else the part of N_max frames, not the slice, is uniform
                    assert_uniform(pair[:, 0], 0, clip_frames - N)


def test_a_clip_as_long_as_the_pairs_does_not_fix_the_target():
    """The papers' clips of 998 frames with N_max = 998: 511 positions of CBoW's target."""
    slicing = Slicing(max_frames=998)
    tasks = find_tasks(["cbow", "temporal_gap"])
    crops = all_crops(tasks, slicing, 998, 0, draws=8)
    starts = crops.middle().numpy()[:, 0, 0, 0]
    assert starts.min() >= 196
    assert starts.max() <= 998 - 96 - 196
    assert len(np.unique(starts)) == 998 - 488 + 1
    alone = find_tasks(["cbow"])
    assert multi_head.crop_frames(alone, slicing) == multi_head.around_frames(alone, slicing) == 488
    assert not multi_head.needs_places(alone, slicing)

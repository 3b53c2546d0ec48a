"""The slices of every task against NumPy references of the papers' formulas."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.slicing import (
    context_slices,
    middle_slice,
    other_clip,
    pair_starts,
    part,
    slice_pair,
)
from a2v_tf.specs import Slicing

KEY = tf.constant([1, 2], tf.int64)


def reference(
    x: np.ndarray, n: int, before: int, after: int, g: int
) -> tuple[np.ndarray, np.ndarray]:
    """ICLR, section 3: X_(p) is the N frames of X from i + p(N + G) on."""
    i = before * (n + g)  # X_(-P) starts the crop
    slices = {p: x[i + p * (n + g) :][:n] for p in range(-before, after + 1)}
    middle = slices.pop(0)
    return np.stack([slices[p] for p in sorted(slices)]), middle


def frame_numbers(batch: int, frames: int) -> np.ndarray:
    """`[batch, frames, 2]`, where the first bin of crop b counts 1000·b, 1000·b + 1, ..."""
    numbers = np.arange(frames) + 1000 * np.arange(batch)[:, None]
    return np.stack([numbers, -numbers], axis=-1).astype(np.float32)


@given(
    n=st.integers(1, 12),
    sides=st.one_of(
        st.integers(1, 4),
        st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(any),
    ),
    g=st.integers(0, 5),
    batch=st.integers(0, 3),
    more=st.integers(0, 7),
)
@settings(max_examples=60, deadline=None)
def test_context_slices_equal_reference(n, sides, g, batch, more):
    """Also for crops longer than necessary, whose middle is used, and for one side only."""
    if isinstance(sides, int):
        before = after = sides
        slicing = Slicing(frames=n, context=sides, gap=g)
    else:
        before, after = sides
        slicing = Slicing(frames=n, gap=g, context_before=before, context_after=after)
    crop = np.random.default_rng(0).normal(size=(batch, slicing.span + more, 3)).astype(np.float32)
    surrounding, middle = context_slices(crop, slicing)
    assert surrounding.shape == (batch, before + after, n, 3)
    assert middle.shape == (batch, n, 3)
    np.testing.assert_array_equal(middle_slice(crop, slicing), middle)
    for b in range(batch):
        want_surrounding, want_middle = reference(crop[b, more // 2 :], n, before, after, g)
        np.testing.assert_array_equal(surrounding[b], want_surrounding)
        np.testing.assert_array_equal(middle[b], want_middle)


def test_slices_around_need_room():
    with pytest.raises(ValueError, match=r"^crops of 487 frames: expected at least 488"):
        context_slices(np.zeros((1, 487, 2), np.float32), Slicing())


def test_the_past_alone_predicts():
    """Patent paragraphs 22 and 28: preceding slices without succeeding ones."""
    slicing = Slicing(frames=4, gap=1, context_before=2, context_after=0)
    surrounding, middle = context_slices(frame_numbers(1, 14), slicing)
    assert surrounding[0, :, 0, 0].numpy().tolist() == [0, 5]
    assert middle[0, 0, 0] == 10
    assert slicing.span == 14


@given(
    frames=st.integers(1, 30),
    more=st.integers(0, 20),
    n=st.integers(1, 40),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_parts_stay_within_their_crops(frames, more, n, seed):
    crops = frame_numbers(n, frames + more)
    place = np.stack([np.arange(n), np.full(n, n), np.zeros(n)], axis=1).astype(np.int64)
    cut = np.asarray(part(crops, frames, place, tf.constant([seed, 1], tf.int64)))
    assert cut.shape == (n, frames, 2)
    for b in range(n):
        start = int(cut[b, 0, 0]) - 1000 * b
        assert 0 <= start <= more
        np.testing.assert_array_equal(cut[b], crops[b, start : start + frames])


@pytest.mark.parametrize(("n", "more"), [(1, 11), (2, 7), (5, 5), (9, 2), (3, 0)])
def test_parts_are_uniform_in_the_clip(n, more):
    """Crop k of n holds the frames from k on; a part of 1 frame is at one of n + more places."""
    draws = 24_000
    k = np.arange(draws) % n
    crops = (k[:, None] + np.arange(1 + more))[..., None].astype(np.float32)
    place = np.stack([k, np.full(draws, n), np.zeros(draws)], axis=1).astype(np.int64)
    counts = np.bincount(np.asarray(part(crops, 1, place, KEY))[:, 0, 0].astype(int))
    assert len(counts) == n + more
    assert scipy.stats.chisquare(counts).pvalue > 0.01


@given(longest=st.lists(st.integers(0, 50), min_size=1, max_size=9), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_pairs_of_whole_clips_stay_within_them(longest, seed):
    starts = pair_starts(np.array(longest), tf.constant([seed, 0], tf.int64)).numpy()
    assert starts.min() >= 0
    assert (starts.max(axis=1) <= longest).all()


def test_the_gap_of_whole_clips_is_uniform_and_so_is_the_start_given_the_gap():
    longest = np.tile([9, 20], 21_000)
    starts = pair_starts(longest, KEY).numpy()
    for most in (9, 20):
        pairs = starts[longest == most]
        distance = np.abs(pairs[:, 0] - pairs[:, 1])
        assert scipy.stats.chisquare(np.bincount(distance, minlength=most + 1)).pvalue > 0.01
        first = pairs.min(axis=1)[distance == 5]
        assert scipy.stats.chisquare(np.bincount(first, minlength=most - 4)).pvalue > 0.01
    apart = starts[starts[:, 0] != starts[:, 1]]
    earlier = int((apart[:, 0] < apart[:, 1]).sum())
    assert scipy.stats.binomtest(earlier, len(apart)).pvalue > 0.01


def test_defaults_are_the_papers():
    slicing = Slicing()
    assert (slicing.frames, slicing.context, slicing.gap) == (96, 2, 2)
    assert slicing.span == 488  # 5 slices and 4 gaps: 4.895 s
    assert slicing.reach == 488


def test_slices_do_not_touch():
    slicing = Slicing()
    surrounding, middle = context_slices(frame_numbers(1, slicing.span)[0], slicing)
    starts = sorted([float(middle[0, 0]), *surrounding[:, 0, 0].numpy()])
    assert np.diff(starts).tolist() == [98.0] * 4
    assert starts[0] == 0
    assert starts[-1] + 96 == slicing.span


@given(
    n=st.integers(1, 12),
    longest=st.integers(0, 30),
    more=st.integers(0, 7),
    batch=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_pairs_are_slices_at_the_stated_gap(n, longest, more, batch, seed):
    """TemporalGap: Δ = |i - j|, δ = Δ / (N_max - N), both slices inside the N_max frames."""
    slicing = Slicing(frames=n, max_frames=n + longest)
    crops = frame_numbers(batch, n + longest + more)
    pair, gap = slice_pair(crops, slicing, tf.constant([seed, 0], tf.int64))
    assert pair.shape == (batch, 2, n, 2)
    assert gap.shape == (batch, 1)
    starts = pair[:, :, 0, 0].numpy().astype(int) % 1000
    assert starts.min() >= more // 2
    assert starts.max() + n <= more // 2 + slicing.reach
    for b in range(batch):
        for k, start in enumerate(starts[b]):
            np.testing.assert_array_equal(pair[b, k], crops[b, start : start + n])
    distance = np.abs(starts[:, 0] - starts[:, 1])
    np.testing.assert_array_equal(np.round(gap[:, 0] * longest), distance)
    if longest:
        np.testing.assert_allclose(gap[:, 0], distance / longest, rtol=1e-6)


@pytest.fixture(scope="module")
def many_pairs() -> tuple[np.ndarray, np.ndarray, Slicing]:
    """Starts `[n, 2]` and gaps `[n]` of many pairs."""
    slicing = Slicing(frames=4, max_frames=24)
    pair, gap = slice_pair(np.tile(frame_numbers(1, 24), (21_000, 1, 1)), slicing, KEY)
    return pair[:, :, 0, 0].numpy().astype(int), gap[:, 0].numpy(), slicing


def test_the_gap_is_uniform(many_pairs):
    starts, gap, slicing = many_pairs
    counts = np.bincount(np.abs(starts[:, 0] - starts[:, 1]))
    assert len(counts) == slicing.reach - slicing.frames + 1
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    assert gap.min() == 0
    assert gap.max() == 1


def test_starts_are_uniform_given_the_gap(many_pairs):
    starts, _, _ = many_pairs
    first = starts.min(axis=1)[np.abs(starts[:, 0] - starts[:, 1]) == 5]
    counts = np.bincount(first)
    assert len(counts) == 16
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_either_slice_may_come_first(many_pairs):
    starts, _, _ = many_pairs
    apart = starts[starts[:, 0] != starts[:, 1]]
    earlier = int((apart[:, 0] < apart[:, 1]).sum())
    assert scipy.stats.binomtest(earlier, len(apart)).pvalue > 0.01


@given(clips=st.lists(st.integers(-3, 3), min_size=1, max_size=12), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_the_other_clip_is_never_the_same(clips, seed):
    clip = np.array(clips, np.int64)
    chosen, exists = other_clip(clip, tf.constant([seed, 0], tf.int64))
    np.testing.assert_array_equal(exists, [len(set(clips)) > 1] * len(clips))
    if len(set(clips)) > 1:
        assert (clip[chosen.numpy()] != clip).all()


def test_other_clips_are_drawn_uniformly():
    chosen = [
        other_clip(np.array([0, 0, 1, 2, 3]), tf.constant([seed, 0], tf.int64))[0][0].numpy()
        for seed in range(600)
    ]
    counts = np.bincount(chosen, minlength=5)
    assert counts[:2].tolist() == [0, 0]
    assert scipy.stats.chisquare(counts[2:]).pvalue > 0.01

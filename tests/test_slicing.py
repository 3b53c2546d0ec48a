"""The slices of every task against NumPy references of the papers' formulas."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.slicing import context_slices, middle_slice, other_clip, slice_pair
from a2v_tf.specs import Slicing

KEY = tf.constant([1, 2], tf.int64)


def reference(x: np.ndarray, n: int, p_max: int, g: int) -> tuple[np.ndarray, np.ndarray]:
    """ICLR, section 3: X_(p) is the N frames of X from i + p(N + G) on."""
    i = p_max * (n + g)  # X_(-P) starts the crop
    slices = {p: x[i + p * (n + g) :][:n] for p in range(-p_max, p_max + 1)}
    middle = slices.pop(0)
    return np.stack([slices[p] for p in sorted(slices)]), middle


def frame_numbers(batch: int, frames: int) -> np.ndarray:
    """`[batch, frames, 2]`, where the first bin of crop b counts 1000·b, 1000·b + 1, ..."""
    numbers = np.arange(frames) + 1000 * np.arange(batch)[:, None]
    return np.stack([numbers, -numbers], axis=-1).astype(np.float32)


@given(
    n=st.integers(1, 12),
    p=st.integers(1, 4),
    g=st.integers(0, 5),
    batch=st.integers(0, 3),
    more=st.integers(0, 7),
)
@settings(max_examples=60, deadline=None)
def test_context_slices_equal_reference(n, p, g, batch, more):
    """Also for crops longer than necessary, whose middle is used."""
    slicing = Slicing(frames=n, context=p, gap=g)
    crop = np.random.default_rng(0).normal(size=(batch, slicing.span + more, 3)).astype(np.float32)
    surrounding, middle = context_slices(crop, slicing)
    assert surrounding.shape == (batch, 2 * p, n, 3)
    assert middle.shape == (batch, n, 3)
    np.testing.assert_array_equal(middle_slice(crop, slicing), middle)
    for b in range(batch):
        want_surrounding, want_middle = reference(crop[b, more // 2 :], n, p, g)
        np.testing.assert_array_equal(surrounding[b], want_surrounding)
        np.testing.assert_array_equal(middle[b], want_middle)


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

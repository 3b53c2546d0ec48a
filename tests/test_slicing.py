"""Slicing against a NumPy reference written from the paper's formula."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.slicing import ContextSlicing, surrounding_slices


def reference(x: np.ndarray, n: int, p_max: int, g: int) -> tuple[np.ndarray, np.ndarray]:
    """ICLR section 3: X_(p) is the N frames of X that start at i + p(N + G)."""
    i = p_max * (n + g)  # X_(-P) starts the crop
    slices = {p: x[i + p * (n + g) :][:n] for p in range(-p_max, p_max + 1)}
    middle = slices.pop(0)
    return np.stack([slices[p] for p in sorted(slices)]), middle


@given(n=st.integers(1, 12), p=st.integers(1, 4), g=st.integers(0, 5), batch=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_equals_reference(n, p, g, batch):
    slicing = ContextSlicing(frames=n, context=p, gap=g)
    crop = np.random.default_rng(0).normal(size=(batch, slicing.span, 3)).astype(np.float32)
    surrounding, middle = surrounding_slices(crop, slicing)
    assert surrounding.shape == (batch, 2 * p, n, 3)
    assert middle.shape == (batch, n, 3)
    for b in range(batch):
        want_surrounding, want_middle = reference(crop[b], n, p, g)
        np.testing.assert_array_equal(surrounding[b], want_surrounding)
        np.testing.assert_array_equal(middle[b], want_middle)


def test_the_papers_numbers():
    slicing = ContextSlicing()
    assert (slicing.frames, slicing.context, slicing.gap) == (96, 2, 2)
    assert slicing.span == 488  # 5 slices and 4 gaps: 4.895 s


def test_slices_never_touch():
    slicing = ContextSlicing()
    frame_numbers = np.arange(slicing.span, dtype=np.float32)[:, np.newaxis]
    surrounding, middle = surrounding_slices(frame_numbers, slicing)
    starts = sorted([float(middle[0, 0]), *surrounding[:, 0, 0].numpy()])
    assert np.diff(starts).tolist() == [98.0] * 4
    assert starts[0] == 0
    assert starts[-1] + 96 == slicing.span

"""Augmentation of the encoder's input."""

import keras
import numpy as np
import pytest

from a2v_tf.models.augment import MOST_BINS, Augment, Transpose
from a2v_tf.specs import MIX_DB

SLICES = np.random.default_rng(0).normal(-3.0, 1.0, (5, 3, 8, 4)).astype(np.float32)


def augment(mix=0.0, gain_db=0.0, slices=SLICES, *, training=True, seed=0):
    keras.utils.set_random_seed(seed)
    return np.asarray(Augment(mix, gain_db)(slices, training=training))


def level_db(slices):
    return 10 * np.log10(np.exp(2 * slices.astype(np.float64)).mean(axis=(-2, -1)))


def test_slices_change_only_in_training():
    np.testing.assert_array_equal(augment(1.0, 6.0, training=False), SLICES)
    np.testing.assert_array_equal(augment(0.0, 0.0), SLICES)


def test_the_front_ends_offset_is_neither_mixed_nor_made_louder():
    sounds, offset = np.exp(SLICES), 0.01
    keras.utils.set_random_seed(0)
    offset_in = np.asarray(Augment(1.0, 6.0, offset)(np.log(sounds + offset), training=True))
    np.testing.assert_allclose(np.exp(offset_in) - offset, np.exp(augment(1.0, 6.0)), rtol=1e-4)
    assert Augment.from_config(Augment(0.5, 6.0, offset).get_config()).log_offset == offset


def test_each_slice_has_its_own_gain():
    change = augment(gain_db=6.0) - SLICES
    np.testing.assert_allclose(np.ptp(change, axis=(-2, -1)), 0, atol=1e-5)
    gains = level_db(augment(gain_db=6.0)) - level_db(SLICES)
    assert np.abs(gains).max() <= 6.0
    assert len(np.unique(gains.round(3))) == gains.size


def test_the_background_is_a_quieter_slice_of_another_example():
    added = np.exp(2 * augment(mix=1.0).astype(np.float64)) - np.exp(2 * SLICES)
    below = level_db(SLICES) - 10 * np.log10(added.mean(axis=(-2, -1)))
    assert (below > MIX_DB[0] - 0.01).all()
    assert (below < MIX_DB[1] + 0.01).all()
    shape = added / added.sum(axis=(-2, -1), keepdims=True)
    others = np.exp(2 * SLICES) / np.exp(2 * SLICES).sum(axis=(-2, -1), keepdims=True)
    came_from = []
    for i in range(3):  # the same slice of another example
        fits = [
            np.abs(shape[:, i] - np.roll(others[:, i], -shift, axis=0)).max() for shift in range(5)
        ]
        assert min(fits[1:]) < 1e-3 < fits[0]
        came_from.append(np.argmin(fits))
    assert len(set(came_from)) > 1  # no common background


def test_the_given_fraction_is_mixed():
    slices = np.tile(SLICES, (100, 1, 1, 1))
    # The others come back within the rounding of an exponential and a logarithm.
    changed = (np.abs(augment(mix=0.3, slices=slices) - slices) > 1e-5).any(axis=(-2, -1))
    assert 0.25 < changed.mean() < 0.35


def test_a_batch_of_one_and_silence_give_finite_values():
    one = augment(mix=1.0, slices=SLICES[:1])
    assert np.isfinite(one).all()
    assert np.isfinite(augment(mix=1.0, slices=np.full_like(SLICES, np.log(1e-6)))).all()


@pytest.mark.parametrize("seed", [1, 2])
def test_augmentation_depends_on_the_seed(seed):
    first, again, other = (
        augment(0.5, 3.0, seed=seed),
        augment(0.5, 3.0, seed=seed),
        augment(0.5, 3.0),
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def shifted_by(slices, up):
    """Slices `[..., F]`, `up` bins higher, the outermost bin repeated."""
    last = slices.shape[-1] - 1
    return slices[..., np.clip(np.arange(last + 1) - up, 0, last)]


def test_only_the_chosen_slices_are_shifted():
    shifted = np.asarray(Transpose([1])(SLICES))
    np.testing.assert_array_equal(shifted[:, [0, 2]], SLICES[:, [0, 2]])
    np.testing.assert_array_equal(shifted[:, 1], shifted_by(SLICES[:, 1], 2))


def test_every_nonzero_shift_is_drawn_in_training():
    slices = np.tile(SLICES, (40, 1, 1, 1))
    keras.utils.set_random_seed(0)
    shifted = np.asarray(Transpose([0, 2])(slices, training=True))
    drawn = [
        [up for up in range(-MOST_BINS, MOST_BINS + 1) if (row[0] == shifted_by(x[0], up)).all()]
        for row, x in zip(shifted, slices, strict=True)
    ]
    assert all(len(fits) == 1 for fits in drawn)
    assert {up for (up,) in drawn} == {*range(-MOST_BINS, 0), *range(1, MOST_BINS + 1)}
    for (up,), row, x in zip(drawn, shifted, slices, strict=True):
        np.testing.assert_array_equal(row[2], shifted_by(x[2], up))
        np.testing.assert_array_equal(row[1], x[1])

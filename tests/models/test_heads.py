"""Custom heads and losses, compared with NumPy implementations."""

import keras
import numpy as np
import pytest

from a2v_tf.models import heads


def partner_loss(z, clip, temperature):
    """The loss by its definition, slice by slice."""
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    losses = np.zeros(z.shape[:2])
    for i, k in np.ndindex(losses.shape):
        if k >= 2:
            continue
        partner = z[i, k] @ z[i, 1 - k] / temperature
        others = [z[i, k] @ z[j, m] / temperature for j, m in np.ndindex(z.shape[:2])
                  if clip[j] != clip[i] or (i == j and m >= 2)]  # fmt: skip
        losses[i, k] = np.log(np.exp([partner, *others]).sum()) - partner
    return losses[:, :2].mean(axis=1)


@pytest.mark.parametrize("slices", [2, 3, 4])  # the pair, and decoys
def test_partner_loss(slices):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(6, slices, 8)).astype(np.float32)
    clip = np.array([0, 1, 2, 1, 4, 0])
    scaled = heads.over_temperature(keras.ops.convert_to_tensor(z), 0.2)
    loss = heads.partner_loss(clip[:, None], scaled)
    np.testing.assert_allclose(loss, partner_loss(z, clip, 0.2), rtol=1e-5)


def test_partner_loss_is_zero_without_other_clips():
    z = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    np.testing.assert_array_equal(heads.partner_loss(np.zeros((3, 1)), z), 0.0)


def test_decorrelate_adds_the_squared_correlations_of_the_dimensions():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 3, 4)).astype(np.float32)
    z[..., 3] = 2 * z[..., 1] + z[..., 2]
    layer = heads.Decorrelate(0.5)
    np.testing.assert_array_equal(layer(z), z)
    correlations = np.corrcoef(z[:, :2].reshape(-1, 4), rowvar=False)
    want = 0.5 * (np.square(correlations).sum() - 4) / 4
    np.testing.assert_allclose(layer.losses[0], want, rtol=1e-3)
    np.testing.assert_allclose(heads.Decorrelate(1.0)(np.ones((2, 2, 4), np.float32)), 1)

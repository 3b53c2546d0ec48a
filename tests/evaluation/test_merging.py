"""Embeddings of several models side by side."""

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.embeddings import WindowEmbedder
from a2v_tf.evaluation.merging import merged_config, merged_embedder
from a2v_tf.reporting.models import Model

CONFIG = {"task": "cbow", "encoder": "small", "frames": 96, "front_end": {"bins": 64}, "seed": 1}


def test_embeddings_are_concatenated():
    one = WindowEmbedder(lambda batch: batch[:, :2], key="one")
    two = WindowEmbedder(lambda batch: 2 * batch[:, :3], key="two")
    batch = np.arange(8.0).reshape(2, 4)
    both = merged_embedder([one, two])
    np.testing.assert_array_equal(both.embed(batch), [[0, 1, 0, 2, 4], [4, 5, 8, 10, 12]])
    assert both.key == "one + two"  # of the cache: in this order
    assert merged_embedder([one, WindowEmbedder(two.embed)]).key is None
    assert merged_embedder([one]) is one


def test_the_configs_of_all_are_kept_and_named():
    other = {**CONFIG, "task": "triplet", "encoder": "large"}
    merged = merged_config(["a", "b"], [CONFIG, other])
    assert (merged["task"], merged["encoder"]) == ("cbow+triplet", "small+large")
    assert merged["merged"] == [CONFIG, other]
    assert Model("a+b", merged["encoder"], merged).title == "A2V(CBoW) + TripletLoss"
    assert merged_config(["a"], [CONFIG]) is CONFIG


@pytest.mark.parametrize("change", [{"frames": 48}, {"front_end": {"bins": 29}}])
def test_models_must_take_the_same(change):
    (key,) = change
    with pytest.raises(A2vError, match=f"b has {key} .*; expected models that take the same"):
        merged_config(["a", "b"], [CONFIG, {**CONFIG, **change}])

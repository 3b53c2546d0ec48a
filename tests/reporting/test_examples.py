"""Pictures of what models make of validation examples."""

import numpy as np
import pytest
import soundfile

from a2v_tf.errors import A2vError
from a2v_tf.reporting import examples
from a2v_tf.tasks import TASKS
from a2v_tf.training.model_dir import read_config
from tests.tiny_models import write_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        soundfile.write(folder / f"audio/{i}.wav", 0.1 * rng.standard_normal(48_000), 16_000)
    write_model(folder, *TASKS, data=str(folder / "audio"), seed=0)
    return folder


def test_a_picture_for_each_task(model_dir, monkeypatch):
    monkeypatch.setattr(examples, "JUDGED", 64)
    found = examples.pictures(model_dir, read_config(model_dir), "It")
    captions = [picture.caption for picture in found]
    for caption, start in zip(
        captions,
        (
            "It predicts the middle slice from those around it. Each example has",
            "It predicts the slices around the middle one from it. Each example has",
            "It estimates the distance in time of two slices, here of 64 examples",
            "It reconstructs its input. Each example has",
            "It places a slice closer to another slice of its own clip than ",
            "It estimates whether a slice is played backwards; ",
            "It places the two slices of a crop close together: ",
            "It places a slice close to itself two mel bins higher: the median cosine of 64 ",
        ),
        strict=True,
    ):
        assert caption.startswith(start)
    images = [picture.svg.count("<image") for picture in found]
    # Examples: truth, prediction and their scale; of contrastive, cosines and their scale.
    assert images == [3 * 3, 3 * 3, 0, 3 * 3, 0, 0, 2, 0]


def test_audio_that_is_elsewhere(model_dir, tmp_path):
    write_model(tmp_path, "autoencoder", data="/nowhere")  # whose crops are single slices
    config = read_config(tmp_path)
    with pytest.raises(A2vError, match="/nowhere"):
        examples.pictures(tmp_path, config, "It")
    (picture,) = examples.pictures(tmp_path, config, "It", str(model_dir / "audio"))
    assert picture.caption.startswith("It reconstructs its input. Each example has")


def test_supervised_has_none(tmp_path):
    assert examples.pictures(tmp_path, {"task": "supervised"}, "It") == []

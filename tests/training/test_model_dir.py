"""Model directories that cannot be read are errors of one line."""

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.pretrained import resolve
from a2v_tf.training.loop import train
from a2v_tf.training.model_dir import (
    CONFIG,
    ENCODER,
    copy_model_dir,
    held,
    load_encoder,
    read_config,
    write_config,
)
from a2v_tf.training.settings import TrainSettings
from tests.tiny_models import write_model


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"encoder": "sma', r"config\.json is not valid JSON: Unterminated string"),
        (b"\xff\xfe", r"config\.json is not valid JSON: "),
        (b"", r"config\.json is not valid JSON: "),
        (b"[1, 2]", r"config\.json holds no settings: expected a file that a2v_train wrote"),
    ],
)
def test_a_damaged_config(content, message, tmp_path):
    (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(A2vError, match=message):
        read_config(tmp_path)


@pytest.mark.parametrize("kept", [0, 20_000])
def test_a_truncated_encoder(kept, tmp_path):
    directory = tmp_path / "model"
    copy_model_dir("pretrained", directory)
    (directory / ENCODER).write_bytes((resolve("pretrained") / ENCODER).read_bytes()[:kept])
    with pytest.raises(A2vError, match=r"^'.*encoder\.keras' is damaged: .*zip"):
        load_encoder(directory)


def test_an_encoder_of_another_model(tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    write_model(directory, "cbow")
    config = read_config(directory)
    write_config(directory, {**config, "bins": 29})
    with pytest.raises(A2vError, match=r"takes \(None, 32, 64\): expected .* \(None, 32, 29\), as"):
        load_encoder(directory)
    write_config(directory, config)
    assert load_encoder(directory).input_shape == (None, 32, 64)
    (directory / ENCODER).write_bytes((directory / "model.keras").read_bytes())
    with pytest.raises(A2vError, match=r"takes \(None, 2, 32, 64\): expected an encoder of slices"):
        load_encoder(directory)


def test_only_one_process_trains_in_a_directory(tmp_path):
    with held(tmp_path), pytest.raises(A2vError, match="another a2v_train is training there"):
        train(TrainSettings(data="/no/such/folder", model_dir=str(tmp_path)))
    assert not list(tmp_path.iterdir())
    with pytest.raises(A2vError, match="/no/such/folder"):  # free again
        train(TrainSettings(data="/no/such/folder", model_dir=str(tmp_path)))

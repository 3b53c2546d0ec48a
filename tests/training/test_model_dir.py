"""Model directories that cannot be read are errors of one line."""

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.pretrained import resolve
from a2v_tf.training.model_dir import CONFIG, ENCODER, copy_model_dir, load_encoder, read_config


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
    with pytest.raises(A2vError, match=r"^cannot load .*encoder\.keras: it is damaged$"):
        load_encoder(directory)

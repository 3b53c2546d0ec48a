"""What pack.py refuses, and what it leaves out."""

import json

import pytest

from a2v_tf.errors import A2vError
from tests.tiny_models import write_model


@pytest.fixture
def pack(script):
    return script("pack")


@pytest.fixture
def packed(pack, tmp_path, monkeypatch):
    """Runs the command on a model directory with some settings more; returns what it packs."""

    def run(name="pretrained", **settings):
        model_dir = tmp_path / "mine"
        model_dir.mkdir(exist_ok=True)
        write_model(model_dir, "cbow", data="x", **settings)
        done = []
        monkeypatch.setattr(pack, "pack", lambda *arguments: done.append(arguments))
        values = {"model_dir": str(model_dir), "name": name, "work": str(tmp_path)}
        values |= {"choice": None, "output": str(tmp_path / "out")}
        monkeypatch.setattr(pack, "FLAGS", type("Flags", (), values))
        pack.main([])
        return done

    return run


def test_a_small_encoder_is_packed(packed, tmp_path):
    ((model_dir, calibration, _, name),) = packed("pretrained_self_supervised")
    assert model_dir == tmp_path / "mine"
    assert calibration == str(tmp_path / "corpus/unlabelled")
    assert name == "pretrained_self_supervised"


def test_encoders_that_may_not_be_shipped_are_refused(pack, packed, monkeypatch):
    with pytest.raises(A2vError, match="--name=mine: expected a name that begins with pretrained"):
        packed("mine")
    with pytest.raises(A2vError, match="teacher python:numpy:atleast_2d: licence unknown"):
        packed(teachers=["log_mel_statistics", "python:numpy:atleast_2d"])
    monkeypatch.setattr(pack, "kernel_weights", lambda encoder: 200_001)
    with pytest.raises(A2vError, match="pretrained: 200,001 weights; expected at most 200,000"):
        packed()


def test_the_choice_of_each_name(pack, tmp_path):
    path = tmp_path / "choice.json"
    choice = {"choices": {"pretrained": "long"}, "directories": {"long": "w/long"}}
    path.write_text(json.dumps(choice))
    assert pack._chosen(path, "pretrained") == "w/long"
    with pytest.raises(A2vError, match=r"--name=pretrained_large: .* has no choice for it"):
        pack._chosen(path, "pretrained_large")
    path.write_text("{}")
    with pytest.raises(A2vError, match=r"expected the JSON of choose\.py"):
        pack._chosen(path, "pretrained")


def test_no_folder_of_this_machine_is_packed(pack):
    assert pack._without_folder("model:/home/me/large") == "model:large"
    assert pack._without_folder("whisper_tiny:2") == "whisper_tiny:2"

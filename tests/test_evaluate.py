"""`a2v_evaluate` as a user runs it."""

import json

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.embeddings import tflite_embedder, untrained_encoder
from a2v_tf.export.build import export_file
from tests.conftest import run_command
from tests.evaluation.conftest import write_task
from tests.test_embed import model_dir as model_dir  # the same untrained model


def test_table_and_json(model_dir, tmp_path):
    csv_path = write_task(tmp_path)
    run = run_command(
        "a2v_evaluate",
        f"--model_dir={model_dir}",
        f"--downstream=csv:{csv_path}",
        f"--output={tmp_path}/results.json",
        "--seed=1",
    )
    assert "spectrogram" in run.stdout
    assert "-- linear --" in run.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert {(r["model"], r["protocol"]) for r in results["results"]} == {
        (model, protocol)
        for model in (model_dir.name, "untrained", "spectrogram")
        for protocol in ("linear", "knn")
    }
    assert results["config"]["encoder"] == "small"
    assert results["versions"]["tensorflow"]


def test_untrained_weights_follow_the_seed(model_dir):
    config = json.loads((model_dir / "config.json").read_text())
    first, again, other = (untrained_encoder(config, seed).get_weights() for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_a_streaming_file_has_no_windows(model_dir, tmp_path):
    export_file(model_dir, tmp_path / "s.tflite")
    with pytest.raises(A2vError, match="expected a window model"):
        tflite_embedder(tmp_path / "s.tflite")


def test_bad_input(model_dir, tmp_path):
    good = [f"--model_dir={model_dir}", f"--downstream=csv:{write_task(tmp_path)}"]
    for flag, message in (
        ("--downstream=speech", "expected 'demo' or 'csv:PATH'"),
        ("--model_dir=/no/such", "no config.json in '/no/such'"),
        ("--protocols=psychic", "expected some of"),
    ):
        run = run_command("a2v_evaluate", *good, flag, fails=True)
        assert message in run.stderr
        assert "Traceback" not in run.stderr

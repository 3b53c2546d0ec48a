"""`a2v_report`: the sections of the page, from files as the other commands leave them."""

import json
import re

import numpy as np
import pytest
import soundfile

from a2v_tf import report
from a2v_tf.errors import A2vError
from a2v_tf.train import train
from tests.conftest import run_command

ROW = {"low": 0.5, "high": 0.7, "n_test": 10, "classes": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        soundfile.write(folder / f"audio/{i}.wav", 0.1 * rng.standard_normal(48_000), 16_000)
    settings = {
        **{"task": "cbow", "data": str(folder / "audio"), "validation_data": None},
        **{"model_dir": str(folder / "model"), "encoder": "small", "steps": 2, "batch_size": 2},
        **{"learning_rate": None, "schedule": "cosine", "seed": 0, "eval_every": 1},
        **{"validation_examples": 2, "resume": "auto", "frames": 32, "context": 1, "gap": 2},
        **{"max_bad_fraction": 0.1, "decoder": "auto", "gain_db": 0.0},
    }
    train(settings)
    return folder


def test_whole_page(trained, tmp_path):
    results = {
        "results": [
            {"task": task, "model": model, "protocol": "linear", "accuracy": 0.6, **ROW}
            for task in ("birds", "mean")
            for model in ("<mine>", "untrained")
        ]
    }
    export = {
        **{"output": "a/b/streaming.tflite", "mode": "streaming", "state": "internal"},
        **{"quantized": True, "file_bytes": 240_928, "state_bytes": 3_392},
        **{"exactness": {"bit_exact": True, "max_abs_difference": 0.0}},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "export.json").write_text(json.dumps(export))
    paths = np.array([f"/x/{'ab'[i % 2]}/{i}.wav" for i in range(20)])
    np.savez(
        tmp_path / "e.npz", path=paths, embeddings=np.random.default_rng(0).normal(size=(20, 8))
    )
    run_command(
        "a2v_report",
        f"--model_dir={trained / 'model'}",
        f"--results={tmp_path}/results.json",
        f"--exports={tmp_path}/export.json",
        f"--embeddings={tmp_path}/e.npz",
        f"--output={tmp_path}/report.html",
    )
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3  # loss, reconstructions, map
    assert not re.search(r'(src|href)="?(http|/)', page)  # self-contained
    assert "&lt;mine&gt;" in page
    assert "60.0 <small>50.0-70.0</small>" in page
    for text in ("streaming.tflite", "241 kB", "3,392 B", "bit for bit", "20 files"):
        assert text in page


def test_bad_input(trained, tmp_path):
    (tmp_path / "bad.json").write_text("{")
    for read, message in (
        (lambda: report.read_json(str(tmp_path / "no.json")), r"no\.json"),
        (lambda: report.read_json(str(tmp_path / "bad.json")), "not valid JSON"),
        (lambda: report.read_embeddings(str(tmp_path / "bad.json")), "not an .npz of a2v_embed"),
        (lambda: report.read_log(tmp_path), "no train_log.csv"),
        (lambda: report.read_labels(str(tmp_path / "no.csv"), np.array([])), r"--labels=.*no\.csv"),
    ):
        with pytest.raises(A2vError, match=message):
            read()
    run = run_command(
        "a2v_report", f"--model_dir={tmp_path}", f"--output={tmp_path}/r.html", fails=True
    )
    assert run.stderr.strip().splitlines()[-1].startswith("error: no config.json in")
    assert "Traceback" not in run.stderr


def test_labels_are_relative_to_their_csv(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label,split\nclips/a.wav,bird,train\n")
    files = np.array([str(tmp_path / "clips/a.wav"), "/elsewhere/b.wav"])
    assert report.read_labels(str(tmp_path / "labels.csv"), files) == ["bird", "other"]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_projection_of_any_number(count):
    points = np.random.default_rng(0).normal(size=(count, 6))
    assert report.project(points).shape == (count, 2)

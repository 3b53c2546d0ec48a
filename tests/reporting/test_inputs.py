"""Reading what other commands leave, and names for what was read."""

import json

import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.reporting import inputs
from a2v_tf.reporting.models import Model, labels
from a2v_tf.reporting.results import Results, grids
from tests.reporting.results_files import config, row, write


def test_one_model_of_several_files_is_one_model(tmp_path):
    run = tmp_path / "mine"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({**config(), "made_with": {"a2v_tf": "1"}}))
    files = [
        write(
            tmp_path / "a.json",
            [row("musan", "mine", 0.9), row("musan", "untrained", 0.5)],
            config(),
        ),
        write(
            tmp_path / "b.json", [row("birds", "mine", 0.8), row("mean", "mine", 0.85)], config()
        ),
    ]
    found = inputs.read([str(run), *files])
    assert len(found.models) == 1
    assert list(found.directories) == found.models
    assert [(model.title, row["task"]) for model, row in found.results] == [
        ("A2V(CBoW)", "musan"),
        ("Untrained", "musan"),
        ("A2V(CBoW)", "birds"),
    ]
    assert found.commands == [["a2v_evaluate", "-x"]] * 2


def test_an_encoder_of_the_package_is_a_yardstick_for_every_encoder(tmp_path):
    rows = [row("musan", name, 0.9) for name in ("mine", "untrained", "pretrained")]
    path = tmp_path / "a.json"
    write(path, rows, config(encoder="vgg6"))
    content = json.loads(path.read_text()) | {
        "settings": {"baselines": ["untrained", "pretrained"]}
    }
    path.write_text(json.dumps(content))
    found = inputs.read([str(path)])
    assert [model.title for model in found.models] == ["A2V(CBoW)"]
    (grid,) = grids(Results(found.results))
    labels_ = [line.label for line in grid.lines]
    assert labels_ == ["Untrained", "pretrained (comes with a2v_tf)", "A2V(CBoW)"]

    write(path, [row("musan", "pretrained", 0.9)], config(task="multi_head"))  # the one evaluated
    assert [model.name for model in inputs.read([str(path)]).models] == ["pretrained"]


def test_labels_tell_models_apart(tmp_path):
    def model(name, **settings):
        return Model(name, settings.get("encoder", "small"), config(**settings))

    def names(*models):
        return list(labels(models).values())

    assert names(model("a"), model("b", task="triplet")) == ["A2V(CBoW)", "TripletLoss"]
    assert names(model("a"), model("b", encoder="large")) == [
        "A2V(CBoW), small",
        "A2V(CBoW), large",
    ]
    assert names(model("a", data="/x/birds"), model("b", data="demo", steps=10)) == [
        "A2V(CBoW), birds, 1,500,000 steps",
        "A2V(CBoW), demo, 10 steps",
    ]
    assert names(model("a"), model("b")) == ["A2V(CBoW), a", "A2V(CBoW), b"]
    assert names(model("a"), model("a.tflite")) == ["A2V(CBoW), a", "A2V(CBoW), a.tflite"]
    assert names(
        model("a", task="autoencoder", variant="denoising"), model("b", task="supervised")
    ) == ["AutoEncoder (denoising)", "Supervised on audioset:unbalanced"]
    assert model("a", task="multi_head").title != Model("multihead", "small", {}).title


def test_probes_by_task_and_protocol_in_order_of_steps(tmp_path):
    (tmp_path / "probes.csv").write_text(
        "step,task,protocol,accuracy\n20,a,linear,0.5\n10,a,linear,0.25\n10,b,knn,1.0\n"
    )
    probes = inputs.read_probes(tmp_path)
    assert list(probes) == [("a", "linear"), ("b", "knn")]
    np.testing.assert_array_equal(probes["a", "linear"], [[10, 0.25], [20, 0.5]])
    assert inputs.read_probes(tmp_path / "nowhere") == {}


def test_labels_are_relative_to_their_csv(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label,split\nclips/a.wav,bird,train\n")
    files = np.array([str(tmp_path / "clips/a.wav"), "/elsewhere/b.wav"])
    assert inputs.read_labels(str(tmp_path / "labels.csv"), files) == ["bird", "other"]
    with pytest.raises(A2vError, match="none of the files, such as '/elsewhere"):
        inputs.read_labels(str(tmp_path / "labels.csv"), files[1:])


def test_bad_files_are_named(tmp_path):
    files = {
        "bad.json": "{",
        "list.json": "[]",
        "other.json": "{}",
        "log/train_log.csv": "epoch,loss\n0,high\n",
        "empty/train_log.csv": "epoch,loss\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    old = {key: value for key, value in row("birds", "mine", 0.9).items() if key != "finetune"}
    write(tmp_path / "old.json", [old], config())
    write(tmp_path / "nothing.json", [], {"task": "cbow"})
    for read, message in (
        (lambda: inputs.read([str(tmp_path / "no.json")]), r"cannot read .*no\.json"),
        (lambda: inputs.read([str(tmp_path / "bad.json")]), "not valid JSON"),
        (lambda: inputs.read([str(tmp_path / "list.json")]), "expected a JSON object, got a list"),
        (
            lambda: inputs.read([str(tmp_path / "other.json")]),
            "expected a model directory",
        ),
        (
            lambda: inputs.read([str(tmp_path / "old.json")]),
            "no 'finetune': run a2v_evaluate",
        ),
        (lambda: inputs.read([str(tmp_path / "nothing.json")]), "does not give the run's encoder"),
        (lambda: inputs.read([str(tmp_path)]), "no config.json in"),
        (lambda: inputs.read_embeddings(tmp_path / "bad.json"), "is damaged: File is not a zip"),
        (lambda: inputs.read_log(tmp_path), "no train_log.csv"),
        (lambda: inputs.read_log(tmp_path / "empty"), "has a2v_train finished its first round"),
        (lambda: inputs.read_log(tmp_path / "log"), "expected numbers"),
        (lambda: inputs.read_labels(str(tmp_path / "no.csv"), np.array([])), r"--labels=.*no\.csv"),
        (
            lambda: inputs.read_labels(str(tmp_path / "log/train_log.csv"), np.array([])),
            "column 'path'",
        ),
    ):
        with pytest.raises(A2vError, match=message):
            read()

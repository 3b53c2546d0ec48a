"""`a2v_evaluate` as a user runs it."""

import json
import shutil

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import compare
from a2v_tf.evaluation.embeddings import tflite_embedder, untrained_encoder
from a2v_tf.export.build import export_file
from a2v_tf.training.model_dir import ENCODER, LAST_ENCODER, copy_model_dir
from tests.commands.test_embed import model_dir as model_dir  # the same untrained model
from tests.conftest import run_command
from tests.evaluation.conftest import write_task


def results_of(path):
    return json.loads((path / "results.json").read_text())


def kinds(results):
    return {(row["model"], row["protocol"], row["finetune"]) for row in results["results"]}


def test_all_kinds_of_rows_and_again_from_the_cache(model_dir, tmp_path):
    tones, notes = (f"csv:{write_task(tmp_path, name)}" for name in ("tones", "notes"))
    command = [
        "a2v_evaluate",
        f"--model_dir={model_dir}",
        f"--output={tmp_path}/results.json",
        f"--cache_dir={tmp_path}/cache",
        "--seed=1",
    ]
    mine = model_dir.name
    run = run_command(
        *command,
        f"--downstream={tones},{notes}",
        "--protocols=linear,sgd,knn",
        "--head_steps=50",
        "--replicas=2",
        "--untrained_seeds=2",
        "--examples_per_class=0,2",
        here=True,
    )
    assert "-- linear --" in run.stdout
    assert "-- sgd, 2 examples per class --" in run.stdout
    results = results_of(tmp_path)
    assert kinds(results) == {
        (model, protocol, "none")
        for model in (mine, "untrained", "spectrogram")
        for protocol in ("linear", "sgd", "knn")
    }
    assert {row["task"] for row in results["results"]} == {"tones", "notes", "mean"}
    sgd = [row for row in results["results"] if (row["model"], row["protocol"]) == (mine, "sgd")]
    assert {row["examples_per_class"] for row in sgd} == {None, 2}
    assert [len(row["replicas"]) for row in sgd] == [2] * 6
    assert sgd[0]["task_parameters"] == 128 * 2
    assert results["config"]["encoder"] == "small"
    assert results["settings"]["head_steps"] == 50
    assert results["settings"]["protocols"] == ["linear", "sgd", "knn"]
    assert results["versions"]["tensorflow"]
    assert len(list((tmp_path / "cache").iterdir())) == 2 * 4  # mine, two untrained, spectrogram

    run = run_command(
        *command,
        f"--downstream={tones}",
        "--protocols=linear,knn",
        "--finetune=none,fc",
        "--baselines=spectrogram,supervised",
        "--finetune_steps=2",
        "--finetune_batch_size=4",
    )
    assert run.stderr.count("embeddings reused from") == 2
    assert "-- finetune --" in run.stdout
    again = results_of(tmp_path)
    assert kinds(again) == {
        *((model, p, "none") for model in (mine, "spectrogram") for p in ("linear", "knn")),
        (mine, "finetune", "fc"),
        ("supervised", "finetune", "all"),
        ("supervised", "knn", "none"),
    }
    assert again["results"][0] == results["results"][0]  # the same numbers from the cache
    assert isinstance(again["normalised"], list)


@pytest.mark.slow
def test_a_stopped_evaluation_goes_on(model_dir, tmp_path, monkeypatch):
    command = [
        "a2v_evaluate",
        f"--model_dir={model_dir}",
        *(f"--downstream=csv:{write_task(tmp_path)}", "--baselines=untrained,supervised"),
        *(f"--output={tmp_path}/results.json", "--cache_dir=", "--untrained_seeds=1"),
        *("--protocols=linear,sgd", "--head_steps=5", "--finetune=none,fc", "--replicas=2"),
        *("--finetune_steps=2", "--finetune_batch_size=4"),
    ]
    run_command(*command, here=True)
    output, unfinished = tmp_path / "results.json", tmp_path / "results.json.unfinished"
    whole = output.read_bytes()
    assert not unfinished.exists()
    make_row, made = compare.make_row, []

    def fail(*arguments, **options):
        if len(made) == 5:
            raise A2vError("stopped")
        made.append(make_row(*arguments, **options))
        return made[-1]

    output.unlink()
    monkeypatch.setattr(compare, "make_row", fail)
    assert "stopped" in run_command(*command, fails=True).stderr
    assert not output.exists()
    monkeypatch.setattr(compare, "make_row", lambda *x, **y: made.append(0) or make_row(*x, **y))
    run_command(*command, here=True)
    assert len(made) == 5 + 1  # of the six rows
    assert output.read_bytes() == whole
    assert not unfinished.exists()


def test_the_letter_of_spl(model_dir, tmp_path):
    """Slices are judged, after the last step, with a number of examples in all."""
    trained = tmp_path / "trained"
    copy_model_dir(model_dir, trained)
    command = [
        "a2v_evaluate",
        f"--model_dir={trained}",
        f"--downstream=csv:{write_task(tmp_path)}",
        f"--output={tmp_path}/results.json",
        "--protocols=sgd",
        "--head_steps=2",
        "--baselines=",
        "--judge=slices",
        "--examples=5",
        "--cache_dir=",
    ]
    failed = run_command(*command, "--select=last", fails=True)
    assert f"no {LAST_ENCODER} in" in failed.stderr
    shutil.copy(trained / ENCODER, trained / LAST_ENCODER)
    run = run_command(*command, "--select=last", here=True)
    assert "interval: of slices of test clips, for knn of windows" in run.stdout
    assert "slices at random positions are judged (SPL)" in run.stdout
    assert "after the last step (both papers)" in run.stdout
    rows = results_of(tmp_path)["results"]
    assert [(row["examples_per_class"], row["examples"]) for row in rows] == [
        (None, None),
        (None, 5),
    ]
    assert {(row["judge"], row["select"], row["train_slices"]) for row in rows} == {
        ("slices", "last", 8)
    }


def test_representations_of_several_models_are_merged(model_dir, tmp_path):
    """ICLR sections 4 and 5: the heads take the embeddings of both, side by side."""
    other = tmp_path / "other"
    copy_model_dir(model_dir, other)
    command = [
        "a2v_evaluate",
        f"--model_dir={model_dir},{other}",
        f"--downstream=csv:{write_task(tmp_path)}",
        "--baselines=",
        "--cache_dir=",
    ]
    run_command(*command, f"--output={tmp_path}/results.json", here=True)
    results = results_of(tmp_path)
    (linear, knn) = results["results"]
    assert linear["model"] == knn["model"] == f"{model_dir.name}+other"
    assert linear["task_parameters"] == 2 * 128 * 2
    assert [config["encoder"] for config in results["config"]["merged"]] == ["small"] * 2
    assert results["config"]["encoder"] == "small"
    failed = run_command(*command, "--finetune=fc", fails=True)
    assert "--finetune=fc: several models cannot be trained" in failed.stderr


def test_help_has_every_flag():
    text = run_command("a2v_evaluate", "--help", here=True).stdout
    for flag in ("model_dir", "protocols", "baselines", "examples_per_class"):
        assert f"--{flag}:" in text


def test_encoders_of_the_package_are_baselines(model_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    task, output = write_task(tmp_path), tmp_path / "results.json"
    mine = tmp_path / "pretrained"  # a name that is taken
    copy_model_dir(model_dir, mine)
    options = [f"--downstream=csv:{task}", "--protocols=knn", f"--output={output}", "--cache_dir="]
    run_command(
        "a2v_evaluate", f"--model_dir={mine}", "--baselines=pretrained", *options, here=True
    )
    rows = json.loads(output.read_text())["results"]
    assert [row["model"] for row in rows] == ["trained", "pretrained"]
    assert rows[1]["accuracy"] == 1.0  # low and high tones
    failed = run_command(
        *("a2v_evaluate", "--model_dir=pretrained", "--baselines=pretrained", *options), fails=True
    )
    assert "--baselines=pretrained: is the model to evaluate; expected others" in failed.stderr


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
        ("--protocols=psychic", "expected some of linear, sgd"),
        ("--baselines=pretrained_x", "expected some of untrained, spectrogram, "),
        ("--finetune=conv9", "--finetune=conv9: expected some of none, fc, conv5"),
        ("--examples_per_class=many", "expected whole numbers from 0"),
        ("--examples=1", "expected whole numbers from 2"),
        ("--judge=clip", "--judge"),
        ("--downstream=speech", "expected one of demo, csv:PATH"),
    ):
        run = run_command("a2v_evaluate", *good, flag, fails=True)
        assert message in run.stderr
        assert "Traceback" not in run.stderr

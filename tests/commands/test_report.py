"""`a2v_report` as a user runs it."""

import json
import re

import numpy as np
import pytest
import soundfile

from a2v_tf.reporting import inputs
from a2v_tf.reporting.report import build
from tests.conftest import run_command
from tests.reporting.results_files import row, write
from tests.tiny_models import write_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with recordings and a model directory, as after two rounds of training."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        soundfile.write(folder / f"audio/{i}.wav", 0.1 * rng.standard_normal(48_000), 16_000)
    (folder / "mine").mkdir()
    settings = {"steps": 20, "batch_size": 2, "learning_rate": 1e-3, "eval_every": 10, "seed": 0}
    write_model(folder / "mine", "cbow", data=str(folder / "audio"), **settings)
    log = "epoch,examples_per_s,loss,val_loss\n0,9.5,3.5,3.25\n1,9.5,2.5,2.25\n"
    (folder / "mine/train_log.csv").write_text(log)
    return folder


def test_whole_page(trained, tmp_path):
    rows = [row("musan", "mine", 0.6), row("musan", "untrained", 0.5)]
    config = json.loads((trained / "mine/config.json").read_text())
    write(tmp_path / "results.json", rows, config)
    export = {
        **{"output": "a/b/streaming.tflite", "mode": "streaming", "state": "internal"},
        **{"quantized": True, "file_bytes": 240_928, "state_bytes": 3_392, "hop_ms": 320.0},
        **{"exactness": {"bit_exact": True, "max_abs_difference": 0.0}},
    }
    (tmp_path / "export.json").write_text(json.dumps(export))
    paths = np.array([f"/x/{'ab'[i % 2]}/{i}.wav" for i in range(20)])
    embeddings = np.random.default_rng(0).normal(size=(20, 8))
    np.savez(tmp_path / "e.npz", path=paths, embeddings=embeddings)
    (trained / "mine/probes.csv").write_text("step,task,protocol,accuracy\n1,musan,linear,0.5\n")
    run_command(
        "a2v_report",
        trained / "mine",
        f"--output={tmp_path}/report.html",  # flags may stand anywhere
        *(tmp_path / name for name in ("results.json", "export.json", "e.npz")),
        f"--markdown={tmp_path}/report.md",
        "--note=What this is for.",
        here=True,
    )
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg ") == 5  # accuracy, loss, probes, reconstructions, map
    assert not re.search(r'<script|(src|href)="(?!#|data:)', page)  # self-contained
    assert page.count('role="img" aria-label=') == 5
    markdown = (tmp_path / "report.md").read_text()
    for text in (page, markdown):
        for part in (
            "0.60 ± .03",
            "0.98 ± .00 (+97%)",
            "streaming.tflite",
            "bit-exact",
            "What this",
        ):
            assert part in text
    assert "A2V(CBoW), encoder small" in page
    assert "20 files" in page


def test_names_and_labels_are_text_and_no_code(tmp_path):
    script = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    names = ["a", script]
    paths = np.array([f"/x/{names[i % 2]}{i}.wav" for i in range(20)])
    np.savez(
        tmp_path / "e.npz", path=paths, embeddings=np.random.default_rng(0).normal(size=(20, 8))
    )
    lines = [f'"{path}","{names[i % 2]}"' for i, path in enumerate(paths)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    config = {"task": "cbow", "encoder": "small", "data": script}
    write(tmp_path / "results.json", [row("musan", script, 0.6)], config)
    run_command(
        "a2v_report",
        *(tmp_path / "e.npz", tmp_path / "results.json", f"--labels={tmp_path}/labels.csv"),
        *(f"--note={script}", f"--output={tmp_path}/report.html"),
        here=True,
    )
    page = (tmp_path / "report.html").read_text()
    assert "&lt;script&gt;" in page
    for tag in ("<script", "<img"):
        assert tag not in page


@pytest.mark.parametrize("damage", ["{", "[]", '{"results": 3}', '{"results": [3], "config": {}}'])
def test_damaged_files_are_one_line(tmp_path, damage):
    config = {"task": "cbow", "encoder": "small"}
    write(tmp_path / "results.json", [row("musan", "mine", 0.6)], config)
    whole = json.loads((tmp_path / "results.json").read_text())
    (tmp_path / "results.json").write_text(damage)
    run = run_command("a2v_report", tmp_path / "results.json", fails=True)
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("error: ")
    whole["results"][0]["accuracy"] = "many"
    (tmp_path / "results.json").write_text(json.dumps(whole))
    run = run_command("a2v_report", tmp_path / "results.json", fails=True)
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("error: cannot report on ")


def test_audio_that_is_gone_is_said_on_the_page(trained, tmp_path, capsys):
    moved = tmp_path / "mine"
    moved.mkdir()
    config = json.loads((trained / "mine/config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "data": "/gone"}))
    for name in ("train_log.csv", "model.keras"):
        (moved / name).write_bytes((trained / "mine" / name).read_bytes())
    report = build(inputs.read([str(moved)]))
    assert report.title == "A2V(CBoW), encoder small"
    assert [x.title for x in report.sections] == ["Runs", "Training", "Examples", "Settings"]
    (words,) = report.sections[2].blocks
    assert words.startswith("A2V(CBoW): no examples, because")
    assert "/gone" in words
    assert "no examples of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to report on"),
        (["{tmp}"], "no config.json in"),
        (["{tmp}/no.json"], "cannot read"),
        (["x", "--output=page.txt"], "expected a name ending in .html"),
        (["x", "--output={tmp}/no/r.html"], "no directory"),
        (["x", "--markdown=page.txt"], "expected a name ending in .md"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, options, message):
    run = run_command("a2v_report", *(x.format(tmp=tmp_path) for x in options), fails=True)
    (line,) = run.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_other_commands_take_no_arguments():
    run = run_command(
        "a2v_gap", "--model_dir=a", "--audio=b", "--first=0", "--second=1", fails=True
    )
    assert "error: " in run.stderr
    run = run_command("a2v_summary", "stray", fails=True)
    assert "unexpected argument 'stray'" in run.stdout + run.stderr

"""The grid: what it plans, what it skips, and that it goes on past a failure."""

import json
import pathlib
import sys

import numpy as np
import pytest
import soundfile

from a2v_tf.data import demo
from a2v_tf.errors import run_app
from a2v_tf.evaluation.paper import DATASETS
from tests.conftest import forgotten_flags, load_script
from tests.reporting.results_files import row

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/reproduce_tables.py"


@pytest.fixture
def grid():
    """The script as a module."""
    return load_script(SCRIPT)


@pytest.fixture
def run(grid, monkeypatch, tmp_path):
    """Run the script in this process; returns its exit code."""

    def start(*options, scale="full"):
        arguments = ["reproduce_tables", f"--scale={scale}", f"--output_dir={tmp_path}/out"]
        monkeypatch.setattr(sys, "argv", [*arguments, *options])
        with forgotten_flags(), pytest.raises(SystemExit) as exit:
            run_app(grid.main, grid.define_flags)
        return exit.value.code or 0

    return start


class Commands:
    """Stands for the installed commands: leaves what they would leave."""

    def __init__(self, fails=()):
        self.seen, self.fails = [], fails

    def __call__(self, command, log):
        self.seen.append(command)
        named = dict(x[2:].split("=", 1) for x in command[1:] if x.startswith("--"))
        log.write_text("some line\nerror: no such thing\n")
        if any(part in " ".join(command) for part in self.fails):
            return False
        if command[0] == "a2v_train":
            self.train(pathlib.Path(named["model_dir"]), named)
        elif command[0] == "a2v_evaluate":
            config = pathlib.Path(named["model_dir"]) / "config.json"
            rows = [row("task", "supervised", 0.75), row("task", "mine", 0.5)]
            content = {"results": rows, "command": ["/bin/x", *command[1:]]}
            content["config"] = json.loads(config.read_text())
            pathlib.Path(named["output"]).write_text(json.dumps(content))
        return True

    @staticmethod
    def train(model_dir, named):
        (model_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
        numbers = ("steps", "batch_size", "eval_every", "max_bad_fraction", "max_frames")
        config = {name: json.loads(x) if name in numbers else x for name, x in named.items()}
        (model_dir / "config.json").write_text(json.dumps(config))
        (model_dir / "model.keras").touch()
        (model_dir / f"checkpoints/step_{config['steps']:08d}.weights.h5").touch()

    def of(self, name):
        return [command for command in self.seen if command[0] == name]


@pytest.fixture
def commands(grid, monkeypatch):
    fake = Commands()
    monkeypatch.setattr(grid, "execute", fake)
    return fake


def test_the_full_grid(run, capsys, tmp_path):
    assert run("--dry_run") == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.strip() for line in lines if line.startswith("  a2v_")]
    trained = [line for line in found if line.startswith("a2v_train")]
    assert len(trained) == 5 + 5 + 5 + 7  # small, small on LibriSpeech, large, vgg6
    assert sum("--data=tfds:librispeech_speakers:train" in line for line in trained) == 5
    assert all(("--max_frames=998" in x) == ("gap" in x or "triplet" in x) for x in trained)
    assert [line for line in trained if "--probe=musan" in line] == [
        line for line in trained if "/small_skip_gram" in line
    ]
    evaluated = [line for line in found if line.startswith("a2v_evaluate")]
    models = 5 * 6 + 5 * 6 + 5 * 6 + 7 * 8
    assert len(evaluated) == models + (6 + 1) + 8  # baselines of small, its MultiHead, of vgg6
    for line in evaluated:  # each table by its own paper's protocol
        spl = "/vgg6_" in line
        rate = "0.0001" if spl else "0.001"
        assert f"--judge={'slices' if spl else 'clips'} " in line
        assert f"--replicas={4 if spl else 5} " in line
        assert all(
            f"--{name}_learning_rate={rate} " in line for name in ("head", "finetune", "supervised")
        )
        assert ("--examples_per_class=0,1000 --examples=1000 " in line) == spl
        assert "--select=last " in line
        assert "--train_slices" not in line  # the default: slices at random positions
    tuned = [line for line in evaluated if "--finetune=none,fc,conv5,conv4" in line]
    assert len(tuned) == 2
    assert found[-1].startswith("a2v_report ")
    assert not (tmp_path / "out").exists()
    for name in DATASETS:
        assert any(f"--downstream={name}" in line for line in evaluated)


def test_filters(run, commands, capsys):
    assert run("--tasks=cbow,triplet", "--encoders=large", "--downstream=musan", "--steps=7") == 0
    assert [command[1] for command in commands.of("a2v_train")] == ["--task=cbow", "--task=triplet"]
    assert all("--steps=7" in command for command in commands.of("a2v_train"))
    assert len(commands.of("a2v_evaluate")) == 2
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:6] == ["cbow", "large", "musan", "0.750", "±", "0.027"]


def test_labelled_files_of_the_users_own(run, commands):
    options = ("--tasks=cbow", "--encoders=small", "--data=/audio", "--other_data=")
    assert run(*options, "--downstream=csv:/x/birds.csv,csv:/x/cars.csv") == 0
    downstream = [command[2] for command in commands.of("a2v_evaluate")]
    one, other = "--downstream=csv:/x/birds.csv", "--downstream=csv:/x/cars.csv"
    assert downstream == [one, other, one, other, f"{one},csv:/x/cars.csv"]
    (train,) = commands.of("a2v_train")
    assert "--data=/audio" in train


QUICK = ("--tasks=cbow,temporal_gap", "--encoders=small", "--downstream=musan", "--other_data=")


def test_finished_cells_are_skipped(run, commands, capsys, tmp_path):
    assert run(*QUICK) == 0
    first = len(commands.seen)
    assert first == 2 + 2 + 1 + 1  # trained, evaluated, baselines, report
    capsys.readouterr()
    assert run(*QUICK) == 0
    assert [command[0] for command in commands.seen[first:]] == ["a2v_report"]
    assert capsys.readouterr().out.count("done before") == first - 1
    # More steps: the same directories are trained on, and evaluated again.
    commands.seen.clear()
    assert run(*QUICK, "--steps=2000000") == 0
    assert len(commands.seen) == first
    # Half a result, and a model without its last rounds.
    (tmp_path / "out/results/small_cbow_musan.json").write_text("{")
    for file in (tmp_path / "out/models/small_temporal_gap/checkpoints").iterdir():
        file.rename(file.with_name("step_00000001.weights.h5"))
    commands.seen.clear()
    assert run(*QUICK, "--steps=2000000") == 0
    assert [command[0] for command in commands.seen] == ["a2v_evaluate", "a2v_train", "a2v_report"]


def test_goes_on_past_failures(run, commands, capsys):
    commands.fails = ("--task=cbow", "small_baselines_musan")
    assert run(*QUICK) == 1
    out = capsys.readouterr()
    assert "FAILED" in out.out
    assert "error: no such thing" in out.out
    assert "not run: its training failed" in out.out
    names = "small_cbow, small_cbow_musan, small_baselines_musan"
    assert f"error: 3 failed: {names}; run the command again to retry" in out.err
    (baselines,) = [x for x in commands.of("a2v_evaluate") if "spectrogram" in " ".join(x)]
    assert "small_temporal_gap" in baselines[1]  # the first that was trained
    assert commands.of("a2v_report")
    commands.fails = ()
    assert run(*QUICK) == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--tasks=cbov", "--tasks=cbov: expected some of autoencoder"),
        ("--encoders=huge", "--encoders=huge: expected some of small"),
        ("--downstream=birds", "--downstream=birds: expected some of speech_commands"),
        ("--downstream=musan,csv:a.csv", "expected names or csv:PATHs"),
    ],
)
def test_bad_filters_get_one_line(run, commands, capsys, option, message):
    assert run(option) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not commands.seen


@pytest.mark.slow
def test_for_real(run, capsys, tmp_path):
    """One task, on noise and tones: every file is there, and the report has all tables."""
    rng = np.random.default_rng(0)
    (tmp_path / "audio").mkdir()
    lines = ["path,label,split"]
    for i in range(12):
        tone = np.sin(2 * np.pi * (300 if i % 2 else 2_000) * np.arange(48_000) / 16_000)
        sound = 0.2 * tone + 0.05 * rng.standard_normal(48_000)
        soundfile.write(tmp_path / f"audio/{i}.wav", sound, 16_000)
        lines.append(f"audio/{i}.wav,{'low' if i % 2 else 'high'},{'test' if i > 7 else 'train'}")
    (tmp_path / "pitch.csv").write_text("\n".join(lines) + "\n")
    options = (
        "--tasks=arrow_of_time",
        f"--data={tmp_path}/audio",
        f"--downstream=csv:{tmp_path}/pitch.csv",
        "--steps=1",
    )
    assert run(*options, scale="demo") == 0, capsys.readouterr()
    report = (tmp_path / "out/report.md").read_text()
    for text in ("Linear head", "Head with two layers", "10 nearest", "ArrowOfTime", "Supervised"):
        assert text in report
    assert (tmp_path / "out/report.html").is_file()


def test_demo_names_are_those_of_the_corpus(grid):
    assert set(grid.DEMO.studies["small"].downstream) == set(demo.TASKS)


def test_the_demo_grid_has_both_protocols_and_trains_each_model_once(run, capsys):
    assert run("--dry_run", scale="demo") == 0
    found = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert len([line for line in found if line.startswith("a2v_train")]) == 8
    evaluated = [line for line in found if line.startswith("a2v_evaluate")]
    assert len(evaluated) == 34
    outputs = {line.split("--output=")[1] for line in evaluated}
    assert len(outputs) == 34
    assert sum("--judge=slices" in line for line in evaluated) == 6

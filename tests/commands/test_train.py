"""`a2v_train` as a user runs it: training, resuming, and what it says to bad input."""

import csv
import importlib.util
import io
import json
import re
import resource
import shutil
import signal
import subprocess
import time

import keras
import numpy as np
import pytest
import soundfile

from a2v_tf.evaluation.heads import kernel_weights
from tests.conftest import command, run_command

# Slices of 32 frames, one on each side: an example is 100 frames, about a second.
QUICK = [
    "--frames=32",
    "--context=1",
    "--batch_size=4",
    "--eval_every=2",
    "--validation_examples=4",
    "--seed=3",
]


LABELS = [(0, "low", "train"), (1, "high", "train"), (2, "low", "test"), (3, "high", "test")]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for i in range(4):
        t = np.arange(16_000 * (3 + i)) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * 200 * (i + 1) * t) * (1 + np.sin(2 * np.pi * 2 * t))
        soundfile.write(folder / f"{i}.wav", tone + 0.01 * rng.standard_normal(len(t)), 16_000)
    return folder


@pytest.fixture(scope="module")
def straight(recordings, tmp_path_factory):
    """A run of three rounds without interruption: its model directory, and what it printed."""
    model_dir = tmp_path_factory.mktemp("straight")
    run = run_command(
        "a2v_train", f"--data={recordings}", f"--model_dir={model_dir}", "--steps=6", *QUICK
    )
    return model_dir, run.stdout


@pytest.fixture(scope="module")
def straight_run(straight):
    return straight[0]


def log_rows(model_dir):
    with (model_dir / "train_log.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["examples_per_s"]
    return rows


def assert_same_run(model_dir, other):
    for name in ("encoder_last.keras", "encoder.keras"):
        ours = keras.models.load_model(model_dir / name, compile=False).get_weights()
        theirs = keras.models.load_model(other / name, compile=False).get_weights()
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    assert log_rows(model_dir) == log_rows(other)


def test_leaves_a_model_directory(straight_run):
    config = json.loads((straight_run / "config.json").read_text())
    assert config["task"] == "cbow"
    assert config["learning_rate"] == 1e-3  # the task's
    assert config["seed"] == 3
    assert config["made_with"]["keras"] == keras.__version__
    rows = log_rows(straight_run)
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert all(np.isfinite(float(row["val_loss"])) for row in rows)
    encoder = keras.models.load_model(straight_run / "encoder.keras")
    assert encoder(np.zeros((1, 32, 64))).shape == (1, 128)
    model = keras.models.load_model(straight_run / "model.keras")
    assert model(np.zeros((1, 2, 32, 64)))["cbow"].shape == (1, 1, 32, 64)
    assert list((straight_run / "tensorboard").rglob("events.out.tfevents.*"))
    checkpoints = sorted(p.name for p in (straight_run / "checkpoints").iterdir())
    assert checkpoints == ["step_00000004.weights.h5", "step_00000006.weights.h5"]


@pytest.mark.slow
def test_resumes_exactly_where_noise_is_drawn_in_the_model(recordings, tmp_path):
    """And where the task draws slices at random, and labelled data is probed on the way.

    And where the run was begun by a version that did not have all of today's flags.
    """
    labels = tmp_path / "labels.csv"
    rows = [f"{recordings}/{i}.wav,{label},{split}\n" for i, label, split in LABELS]
    labels.write_text("path,label,split\n" + "".join(rows))
    flags = [
        f"--data={recordings}",
        "--task=multi_head",
        "--heads=autoencoder,temporal_gap,contrastive,transposition",
        "--head_weights=1,2,0.5,1",
        "--variant=variational",
        "--decorrelation=0.1",
        "--mix=0.5",
        "--slice_gain_db=6",
        "--dropout=0.2",
        "--weight_decay=0.01",
        f"--probe=csv:{labels}",
        *QUICK,
    ]
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    run_command("a2v_train", *flags, f"--model_dir={straight}", "--steps=4")
    for steps in (2, 4):
        run_command("a2v_train", *flags, f"--model_dir={resumed}", f"--steps={steps}")
        config = json.loads((resumed / "config.json").read_text())
        del config["precision"]
        (resumed / "config.json").write_text(json.dumps(config))
    assert_same_run(resumed, straight)
    assert {"autoencoder_loss", "probe_labels"} <= set(log_rows(resumed)[0])
    probes = (resumed / "probes.csv").read_text()
    assert probes == (straight / "probes.csv").read_text()
    assert len(probes.splitlines()) == 3


def test_the_past_alone_and_clips_of_any_length(recordings, tmp_path):
    flags = [
        *("--task=multi_head", "--heads=cbow,temporal_gap", "--max_frames=clip"),
        *("--context_before=2", "--context_after=0", "--dropout=0.1", "--weight_decay=0.01"),
        *(f"--data={recordings}", f"--model_dir={tmp_path / 'model'}", *QUICK),
        f"--cache={tmp_path / 'cache'}",
    ]
    run_command("a2v_train", *flags, "--steps=2", here=True)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (config["max_frames"], config["context_after"]) == ("clip", 0)
    model = keras.models.load_model(tmp_path / "model" / "model.keras")
    assert model.input_shape == (None, 4, 32, 64)  # two before the hidden one, and a pair
    assert kernel_weights(model.get_layer("encoder")) == 125_408  # as without dropout
    out = run_command(
        "a2v_gap",
        *(f"--model_dir={tmp_path / 'model'}", f"--audio={recordings / '3.wav'}"),
        *("--first=0", "--second=5.5"),
        here=True,
    ).stdout
    assert float(out.split()[2]) <= 6.0  # no more than the recording of 6 s
    assert "cannot estimate" not in out


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
@pytest.mark.usefixtures("quick_jax")
def test_the_command_under_jax(recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    flags = ["--task=autoencoder", f"--data={recordings}", *QUICK]
    run_command("a2v_train", *flags, f"--model_dir={tmp_path}", "--steps=2")
    (row,) = log_rows(tmp_path)
    assert np.isfinite(float(row["val_loss"]))
    assert list((tmp_path / "tensorboard" / "images").iterdir())
    encoder = keras.models.load_model(tmp_path / "encoder.keras")  # by this process's TensorFlow
    assert np.isfinite(encoder(np.zeros((1, 32, 64)))).all()


@pytest.mark.slow
@pytest.mark.usefixtures("quick_jax")
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_log_mel_on_the_device_gives_the_same_run(
    backend, recordings, straight_run, tmp_path, monkeypatch
):
    """Also where a run begun on the host goes on there, and with several steps at once."""
    if backend == "jax":
        pytest.importorskip("jax")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    run_command("a2v_train", *flags, "--steps=2")
    run = run_command(
        "a2v_train", *flags, "--steps=6", "--frontend=device", "--steps_per_execution=2"
    )
    assert "Resuming" in run.stdout
    losses, expected = (
        [float(row["val_loss"]) for row in log_rows(directory)]
        for directory in (tmp_path, straight_run)
    )
    np.testing.assert_allclose(losses, expected, rtol=0.02)
    assert list((tmp_path / "tensorboard" / "images").iterdir())
    encoder = keras.models.load_model(tmp_path / "encoder.keras")
    assert encoder(np.zeros((1, 32, 64))).shape == (1, 128)
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model(np.zeros((1, 2, 32, 64)))["cbow"].shape == (1, 1, 32, 64)


@pytest.mark.slow
def test_bfloat16_leaves_float32_models(recordings, straight_run, tmp_path):
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    run_command("a2v_train", *flags, "--steps=6", "--precision=bfloat16")
    encoder = keras.models.load_model(tmp_path / "encoder.keras")
    assert {layer.compute_dtype for layer in encoder.layers} == {"float32"}
    losses, expected = (
        [float(row["val_loss"]) for row in log_rows(directory)]
        for directory in (tmp_path, straight_run)
    )
    assert losses != expected
    np.testing.assert_allclose(losses, expected, rtol=0.1)


def test_shows_loss_and_speed(straight):
    _, printed = straight
    assert "4 files" in printed
    assert "loss:" in printed
    assert "examples_per_s:" in printed


def test_a_finished_run_is_left_as_it_is(recordings, straight_run):
    """What it says of the versions that made it included."""

    def written():
        return {p: p.stat().st_mtime_ns for p in straight_run.rglob("*") if p.is_file()}

    before = written()
    flags = [f"--data={recordings}", f"--model_dir={straight_run}", *QUICK]
    run = run_command("a2v_train", *flags, "--steps=6", here=True)
    assert "already trained for 6 steps" in run.stdout
    assert written() == before


def test_goes_on_exactly_after_a_kill(recordings, straight_run, tmp_path):
    """Also where the same recordings are spelt otherwise or have moved."""
    model_dir, moved = tmp_path / "model", tmp_path / "moved"
    flags = [f"--model_dir={model_dir}", *QUICK]
    process = subprocess.Popen(
        [command("a2v_train"), f"--data={recordings}/../{recordings.name}/", *flags, "--steps=6"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first = model_dir / "checkpoints" / "step_00000002.weights.h5"
    deadline = time.monotonic() + 300
    while not first.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    shutil.copytree(recordings, moved)
    run = run_command("a2v_train", f"--data={moved}", *flags, "--steps=6", here=True)
    assert "Resuming" in run.stdout
    assert_same_run(model_dir, straight_run)
    assert json.loads((model_dir / "config.json").read_text())["data"] == str(moved)

    # Others of the same names and sizes are other data.
    other = tmp_path / "other"
    shutil.copytree(recordings, other)
    pcm, rate = soundfile.read(other / "1.wav")
    soundfile.write(other / "1.wav", -pcm, rate)
    run = run_command("a2v_train", f"--data={other}", *flags, "--steps=8", fails=True)
    assert f"was trained with --data={moved}, not {other}" in run.stderr


def interrupted_at(pattern, flags, number):
    """Start training, send a signal once the progress bar matches; return what it said."""
    process = subprocess.Popen(
        [command("a2v_train"), *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    shown = ""
    while not re.search(pattern, shown):
        read = process.stdout.read(1)
        assert read, shown + process.stderr.read()
        shown += read
    process.send_signal(number)
    start = time.monotonic()
    _, said = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert process.returncode == 128 + number
    return said


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--task=multi_head", "--heads=autoencoder,triplet,contrastive", "--variant=variational"],
        ["--task=cbow", "--frontend=device", "--steps_per_execution=5", "--schedule=cosine"],
        ["--task=distill", "--teachers=log_mel_statistics", "--frames=96", "--components=8"],
    ],
    ids=["cbow", "noise", "device", "distill"],
)
def test_a_signal_saves_the_last_step(more, recordings, tmp_path, monkeypatch):
    """And the run that is resumed there is the uninterrupted one, its log included."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # of what teachers say
    flags = [f"--data={recordings}", *QUICK, "--eval_every=100", "--steps=240", *more]
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    run_command("a2v_train", *flags, f"--model_dir={straight}", here=True)
    flags = [*flags, f"--model_dir={resumed}"]
    # The bar may jump over some steps, and shows the rest of a round that is resumed.
    for pattern, number in [(r"(?<!\d)2\d/", signal.SIGTERM), (r"(?<!\d)4\d/", signal.SIGINT)]:
        said = interrupted_at(pattern, flags, number)
        assert "interrupted after step" in said
        assert said.endswith(", which is saved: run the same command to go on\n")
        assert "Traceback" not in said
        assert (resumed / "checkpoints" / "interrupted.npz").is_file()
    run = run_command("a2v_train", *flags, "--resume=never", fails=True)
    assert "holds a run" in run.stderr
    step = int(said.split("after step ")[1].split(",")[0])
    run = run_command("a2v_train", *flags, here=True)
    assert f"Resuming {resumed} after step {step}." in run.stdout
    assert_same_run(resumed, straight)
    assert not (resumed / "checkpoints" / "interrupted.npz").exists()


@pytest.mark.slow
@pytest.mark.parametrize("limit", [100, 20_000, 300_000, 800_000])
def test_a_disk_that_fills_up_is_one_line(limit, recordings, straight_run, tmp_path):
    """And with more room, the run ends as if nothing had happened."""
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK, "--steps=6"]
    run = subprocess.run(
        [command("a2v_train"), *flags],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].startswith(f"error: cannot write '{tmp_path}/")
    assert "File too large" in run.stderr
    assert "Traceback" not in run.stderr
    run_command("a2v_train", *flags, here=True)
    assert_same_run(tmp_path, straight_run)
    assert not list(tmp_path.rglob(".*"))


def test_steps_are_exact(recordings, straight_run, tmp_path):
    """The last round is shorter; a longer run repeats it at full length, and is the same run.

    A run may also have fewer steps than a round.
    """
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    checkpoints = tmp_path / "checkpoints"
    run = run_command("a2v_train", *flags, "--steps=1", here=True)
    assert "Trained encoder" in run.stdout
    assert len(log_rows(tmp_path)) == 1
    assert [path.name for path in checkpoints.glob("*.h5")] == ["step_00000001.weights.h5"]
    run_command("a2v_train", *flags, "--steps=5", here=True)
    names = {path.name for path in checkpoints.glob("*.h5")}
    assert names == {"step_00000004.weights.h5", "step_00000005.weights.h5"}
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 5
    shorter, longer = log_rows(tmp_path), log_rows(straight_run)
    assert shorter[:2] == longer[:2]
    assert [row["epoch"] for row in shorter] == ["0", "1", "2"]
    assert shorter[2] != longer[2]
    run = run_command("a2v_train", *flags, "--steps=5", here=True)
    assert "already trained for 5 steps" in run.stdout
    run = run_command("a2v_train", *flags, "--steps=3", here=True)
    assert "already trained for 5 steps" in run.stdout
    recordings.rename(recordings.with_name("away"))
    try:
        run = run_command("a2v_train", *flags, "--steps=6", fails=True)
    finally:
        recordings.with_name("away").rename(recordings)
    assert "does not exist" in run.stderr
    assert {path.name for path in checkpoints.glob("*.h5")} == names
    assert log_rows(tmp_path) == shorter  # nothing is undone before training starts
    run = run_command("a2v_train", *flags, "--steps=6", here=True)
    assert "Resuming" in run.stdout
    assert "after step 4" in run.stdout
    assert_same_run(tmp_path, straight_run)


def test_a_log_without_a_checkpoint_is_started_again(recordings, straight_run, tmp_path):
    """A kill after a round's row, before its checkpoint: the round is trained again."""
    log = (straight_run / "train_log.csv").read_text()
    (tmp_path / "train_log.csv").write_text(log)
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    run_command("a2v_train", *flags, "--steps=2", here=True)
    assert log_rows(tmp_path) == log_rows(straight_run)[:1]


def test_checkpoints_of_an_older_version(recordings, straight_run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "round_000002.weights.h5").touch()
    flags = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    run = run_command("a2v_train", *flags, fails=True)
    assert "round_000002.weights.h5, of version 0.1: use another --model_dir" in run.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data=/no/such/folder"], "/no/such/folder"),
        (["--variant=denoising"], "--variant=denoising: for autoencoder, not for --task=cbow"),
        (["--task=word2vec"], "word2vec"),
        (["--steps=0"], "steps"),
        (["--learning_rate=-1"], "learning_rate"),
        (["--max_bad_fraction=2"], "max_bad_fraction"),
        (["--data=tfds:no_such_data_set"], "no_such_data_set"),
        (["positional"], "positional"),
        (["--resume=always"], "holds no checkpoint"),
        (["--task=multi_head", "--heads=cbow,sudoku"], "expected some of cbow,skip_gram"),
        (["--task=multi_head", "--heads=cbow,cbow"], "each once"),
        (["--task=multi_head", "--heads=cbow,triplet", "--head_weights=1"], "expected 2 numbers"),
        (["--task=multi_head", "--head_weights=1,2,much"], "expected numbers"),
        (["--task=no_such_package:TASK"], "cannot import no_such_package"),
        (["--task=a2v_tf.specs:ENCODERS"], "expected a Task, not dict"),
        (
            ["--encoder=tiny"],
            "--encoder=tiny: expected small, large, vgg6, multiscale or package.module:NAME",
        ),
        (["--data=no_such_package:SOURCE"], "cannot import no_such_package"),
        (["--data=a2v_tf.specs:PERIOD"], "a source from a BadFiles, not float"),
        (["--data=a2v_tf.specs:Slicing"], "its Slicing lacks bad, front_end, check, crops, desc"),
        (["--task=multi_head", "--head_weights=1,2,inf"], "expected numbers"),
        (["--steps=3", "--steps_per_execution=2"], "expected a divisor of --steps=3"),
        (["--task=temporal_gap", "--max_frames=31"], "expected at least --frames=32"),
        (["--crops_per_clip=2"], "--crops_per_clip=2: for --data=tfds:NAME"),
        (["--data=spectrogram:x", "--frontend=device"], "--frontend=device: for audio"),
        (["--steps_per_execution=4"], "expected a divisor of --eval_every=2"),
        (["--task=supervised", "--frontend=device"], "not for --task=supervised"),
        (["--task=supervised"], "expected one of demo, csv:PATH"),
        (["--task=supervised", "--data=demo", "--batch_size=5"], "shared equally"),
        (["--variant=sparse"], "sparse"),
    ],
)
def test_bad_input_gets_one_line(flags, message, tmp_path, recordings):
    defaults = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    run = run_command("a2v_train", *defaults, *flags, fails=True)
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_training_that_diverges_is_one_line(recordings, tmp_path):
    defaults = [f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK]
    run = run_command("a2v_train", *defaults, "--learning_rate=1e30", "--steps=4", fails=True)
    assert run.stderr.splitlines()[-1].startswith("error: training diverged: ")
    assert "expected a --learning_rate below 1e+30" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.glob("checkpoints/*"))


def test_model_dir_that_cannot_be_made(recordings, tmp_path):
    (tmp_path / "file").touch()
    model_dir = tmp_path / "file" / "model"
    run = run_command("a2v_train", f"--data={recordings}", f"--model_dir={model_dir}", fails=True)
    assert run.stderr.strip().splitlines()[-1].startswith("error: cannot write --model_dir=")


def test_other_settings_do_not_overwrite_a_run(recordings, straight_run):
    flags = [f"--data={recordings}", f"--model_dir={straight_run}", *QUICK]
    for extra, message in (
        (["--batch_size=8"], "trained with --batch_size=4, not 8"),
        (["--resume=never"], "holds a run of 6 steps"),
    ):
        run = run_command("a2v_train", *flags, *extra, fails=True)
        assert message in run.stderr
        assert "Traceback" not in run.stderr


def test_damaged_checkpoint(recordings, straight_run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_00000002.weights.h5").write_bytes(b"half a file")
    config = json.loads((straight_run / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = run_command(
        "a2v_train", f"--data={recordings}", f"--model_dir={tmp_path}", *QUICK, fails=True
    )
    assert "cannot resume from" in run.stderr
    assert "Traceback" not in run.stderr


def damaged_flac(pcm):
    """Its header is right; there is no frame."""
    content = io.BytesIO()
    soundfile.write(content, pcm, 16_000, format="FLAC")
    return content.getvalue()[:86] + bytes(20_000)


def not_numbers(pcm):
    content = io.BytesIO()
    soundfile.write(content, np.full(len(pcm), np.nan, np.float32), 16_000, "FLOAT", format="WAV")
    return content.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        ("wav", lambda pcm: b"RIFF" + bytes(99)),
        ("flac", damaged_flac),
        ("wav", not_numbers),
        ("mp3", lambda pcm: bytes(50_000)),
        ("wav", lambda pcm: b""),
    ],
    ids=["header", "frames", "nan", "zeros", "empty"],
)
def test_all_files_are_bad_and_may_be(suffix, content, tmp_path):
    """None is left to learn from: one line that names some, not an endless draw."""
    pcm = np.random.default_rng(0).normal(0, 0.1, 48_000)
    (tmp_path / "data").mkdir()
    for i in range(3):
        (tmp_path / "data" / f"{i}.{suffix}").write_bytes(content(pcm))
    options = [f"--data={tmp_path / 'data'}", f"--model_dir={tmp_path / 'model'}", "--steps=2"]
    run = run_command("a2v_train", *options, *QUICK, "--max_bad_fraction=1", fails=True)
    lines = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, run.stderr
    assert "Traceback" not in run.stderr
    assert re.match(r"error: .*(none of 3 files|a whole epoch gave no usable)", lines[0]), lines[0]

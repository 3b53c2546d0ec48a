"""The pretrained encoder: its files, the embeddings that they compute, and its name."""

import hashlib
import json
import re
import shutil
import sys

import numpy as np
import pytest
import soundfile

import a2v_tf
from a2v_tf import hear, pretrained
from a2v_tf.audio.read import windows
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.embeddings import tflite_embedder
from a2v_tf.export import convert
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.build import export_file
from a2v_tf.frontend import log_mel, pcm_to_float
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.training.model_dir import copy_model_dir, load_encoder, load_model, read_config
from tests.conftest import run_here
from tests.evaluation.conftest import write_task

NAMES = pretrained.names()
DIRECTORY = pretrained.resolve("pretrained")


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def directory(name):
    return pretrained.resolve(name)


@pytest.fixture(scope="module")
def golden(directory):
    with np.load(directory / "golden.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def wave(golden):
    return pcm_to_float(golden["pcm"]).numpy()


@pytest.fixture(scope="module")
def cut(wave):
    return windows(wave, 7_800)


@pytest.fixture(scope="module")
def sound(wave, tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    soundfile.write(path, wave, 16_000, subtype="FLOAT")
    return path


def run(name, *options, fails=False):
    """Run a command in this process."""
    done = run_here(name, [name, *map(str, options)])
    assert (done.returncode != 0) == fails, done.stdout[-2000:] + done.stderr[-2000:]
    return done


# The files ---------------------------------------------------------------------------------------


def shipped(directory):
    return {path for path in directory.iterdir() if path.is_file() and path.suffix != ".py"}


def test_checksums(directory):
    sums = (directory / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in sums)
    assert {path.name for path in shipped(directory)} == {*listed, "SHA256SUMS"}
    for file, digest in listed.items():
        assert hashlib.sha256((directory / file).read_bytes()).hexdigest() == digest, file


def test_the_files_are_small():
    sizes = [sum(p.stat().st_size for p in shipped(pretrained.folder(name))) for name in NAMES]
    assert sum(sizes) < 4_000_000


def test_the_streaming_file_is_small(directory):
    assert (directory / "streaming.tflite").stat().st_size <= 350_000


def test_it_can_be_copied_by_name(name, directory, tmp_path):
    copy_model_dir(name, tmp_path / "copy")
    for file in ("config.json", "encoder.keras"):
        assert (tmp_path / "copy" / file).read_bytes() == (directory / file).read_bytes()


def test_no_file_contains_a_path_of_the_machine_that_wrote_it(directory):
    config = json.loads((directory / "config.json").read_text())
    assert config["data"] == "debian_audio"
    for path in shipped(directory):
        assert not re.search(rb"(/home|/root|/tmp|/work|/Users)/", path.read_bytes()), path


def test_card_describes_this_encoder(name, directory):
    card = (directory / "card.md").read_text()
    config = read_config(name)
    assert f"`{config['task']}`" in card
    assert f"| steps | {config['steps']:,} |" in card
    assert "licence" in card


# Embeddings --------------------------------------------------------------------------------------


def test_float_embeddings_do_not_change(name, golden, cut):
    found = np.asarray(load_encoder(name)(log_mel(cut), training=False))
    np.testing.assert_allclose(found, golden["float"], rtol=0, atol=1e-3 * np.abs(found).max())


def test_int8_window_embeddings_do_not_change(directory, golden, cut):
    embedder = Embedder(directory / "window.tflite", "reference")
    np.testing.assert_array_equal([embedder.embed(x) for x in cut], golden["window"])


def test_int8_streaming_embeddings_do_not_change(name, golden, wave):
    embedder = Embedder(name, "reference")
    assert (embedder.streaming, embedder.hop) == (True, 1_280)
    np.testing.assert_array_equal(embedder.stream(wave), golden["streaming"])


def test_int8_is_close_to_float(golden):
    int8, exact = golden["window"], golden["float"]
    cosines = (int8 * exact).sum(1) / np.linalg.norm(int8, axis=1) / np.linalg.norm(exact, axis=1)
    # `multiscale`, whitened in part, rests on smaller differences than the maxima of `small`.
    assert cosines.min() > 0.99


# The name ----------------------------------------------------------------------------------------


def test_other_names_are_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pretrained").mkdir()
    assert str(pretrained.resolve("./pretrained/x")) == "pretrained/x"
    assert not pretrained.is_packaged("pretrained")
    assert pretrained.is_packaged(pretrained.resolve("pretrained"))


def test_missing_files_are_named():
    with pytest.raises(A2vError, match=r"no pretrained window2\.tflite: expected "):
        pretrained.resolve("pretrained", "window2.tflite")


def test_unknown_names_are_told_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = re.escape(pretrained.in_words())
    with pytest.raises(
        A2vError, match=rf"no encoder 'pretrained_x' .* expected {known}, or a path"
    ):
        load_encoder("pretrained_x")
    with pytest.raises(A2vError, match=r"cannot read 'pretrained_x\.tflite'"):
        Embedder("pretrained_x.tflite")
    (tmp_path / "pretrained_x").mkdir()
    assert str(pretrained.resolve("pretrained_x")) == "pretrained_x"


def test_python(name, golden, cut):
    assert hear.load_model(name).scene_embedding_size == golden["window"].shape[1]
    embedder = tflite_embedder(name)
    assert embedder.takes == "pcm"
    assert embedder.embed(cut).shape == golden["window"].shape
    with pytest.raises(A2vError, match=r"the pretrained encoder comes without model\.keras"):
        load_model(name)


@pytest.mark.parametrize("option", ["--hop_ms=487.5", "--stream"])
def test_a2v_embed_runs_the_int8_files(option, name, directory, cut, wave, sound, tmp_path):
    output = tmp_path / "embeddings.npz"
    run("a2v_embed", f"--model={name}", f"--audio={sound}", option, f"--output={output}")
    window = Embedder(directory / "window.tflite")
    expected = (
        Embedder(name).stream(wave)
        if option == "--stream"
        else [window.embed(each) for each in cut]
    )
    with np.load(output) as arrays:
        np.testing.assert_array_equal(arrays["embeddings"], expected)


def test_a2v_stream(name, golden, sound):
    done = run("a2v_stream", f"--model={name}", f"--audio={sound}", "--format=jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(lines) == len(golden["streaming"])


def test_a2v_evaluate(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    csv, output = write_task(tmp_path), tmp_path / "results.json"
    options = (
        f"--downstream=csv:{csv}",
        "--protocols=linear",
        "--baselines=",
        f"--output={output}",
    )
    for model in ("--model_dir=pretrained",), ("--model_dir=pretrained", "--model=pretrained"):
        run("a2v_evaluate", *model, *options)
        (row,) = json.loads(output.read_text())["results"]
        assert (row["model"], row["n_test"]) == ("pretrained", 4)
    run("a2v_evaluate", "--model_dir=pretrained", "--split=val", *options)
    (row,) = json.loads(output.read_text())["results"]
    assert row["n_test"] == 2  # val clips
    assert list((tmp_path / "cache/a2v_tf/embeddings").iterdir())


def test_a2v_report(tmp_path):
    output = tmp_path / "report.html"
    done = run("a2v_report", "pretrained", f"--output={output}")
    assert "the pretrained encoder comes without train_log.csv" in done.stderr
    assert "pretrained" in output.read_text()


@pytest.fixture
def second(tmp_path, monkeypatch):
    """An installation with a second encoder: the files of `pretrained` under another name."""
    for path in shipped(DIRECTORY):
        for folder in (tmp_path / "shipped", tmp_path / "shipped/pretrained_second"):
            folder.mkdir(exist_ok=True)
            shutil.copy(path, folder)
    monkeypatch.setattr(pretrained, "_ROOT", tmp_path / "shipped")
    return tmp_path / "shipped/pretrained_second"


def test_every_command_knows_every_name(second, sound, tmp_path, monkeypatch):
    """A second encoder is known by its name wherever `pretrained` is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert pretrained.names() == ["pretrained", "pretrained_second"]
    assert pretrained.is_packaged(second)
    assert a2v_tf.load("pretrained_second").hop == 1_280
    assert a2v_tf.load("pretrained_second", window=True).window == 15_600
    model, audio, output = "--model=pretrained_second", f"--audio={sound}", tmp_path / "x.npz"
    run("a2v_stream", model, audio)
    run("a2v_embed", model, audio, f"--output={output}")
    done = run("a2v_embed", "--model=pretrained_third", audio, f"--output={output}", fails=True)
    assert "or 'pretrained' or 'pretrained_second'" in done.stderr
    assert "'pretrained' or 'pretrained_second'" in run("a2v_embed", "--help").stdout

    model_dir, results = "--model_dir=pretrained_second", tmp_path / "results.json"
    task = f"--downstream=csv:{write_task(tmp_path)}"
    run("a2v_evaluate", model_dir, task, "--protocols=knn", "--baselines=", f"--output={results}")
    assert json.loads(results.read_text())["results"][0]["model"] == "pretrained_second"
    run("a2v_report", "pretrained_second", str(results), f"--output={tmp_path / 'report.html'}")
    run("export_tflite", model_dir, "--quantize", f"--output={tmp_path / 'x.tflite'}")
    assert "comes with a2v_tf" in run("a2v_train", model_dir, "--data=demo", fails=True).stderr
    assert hear.load_model("pretrained_second").scene_embedding_size == 256


@pytest.mark.parametrize("hop_ms", [320, 20])
def test_every_export_has_the_same_weights(hop_ms, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in DIRECTORY.iterdir()}
    made = export_file("pretrained", tmp_path / "x.tflite", quantize=True, hop_ms=hop_ms)
    shipped = Embedder("pretrained").facts["weights_and_scales"]
    assert made["weights_and_scales"] == shipped
    assert made["exactness"]["bit_exact"]
    after = {path: path.stat().st_mtime_ns for path in DIRECTORY.iterdir()}
    assert {p: t for p, t in after.items() if p.is_file()} == {
        p: t for p, t in before.items() if p.is_file()
    }


def test_own_calibration_is_not_kept(monkeypatch):
    """An encoder quantised with other data must not replace the shipped one."""
    before = (DIRECTORY / "quantized_core.tflite").read_bytes()
    monkeypatch.setattr(convert, "window_model", lambda *_: fb.read(before))
    slices = np.zeros((1, 96, 64), np.float32)
    convert.model_of(DIRECTORY, lambda: slices, {"slices_sha256": "of others"})
    assert (DIRECTORY / "quantized_core.tflite").read_bytes() == before


def test_a2v_benchmark(monkeypatch):
    from a2v_tf.export.benchmark import command

    monkeypatch.setattr(sys, "argv", ["a2v_benchmark"])
    (case,) = command._cases(["pretrained"], [], ["xnnpack"], [1])
    assert case.model == str(DIRECTORY / "streaming.tflite")


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        (
            "a2v_reconstruct",
            ["--audio=x.wav", "--at=0", "--output=x"],
            "was trained on distill: expected",
        ),
        ("a2v_train", ["--data=demo"], "expected another"),
    ],
)
def test_commands_that_need_more_say_so(command, options, message):
    done = run(command, "--model_dir=pretrained", *options, fails=True)
    assert message in done.stderr
    assert "Traceback" not in done.stderr

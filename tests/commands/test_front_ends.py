"""Every command with models of other front ends than the papers'.

Expected values are computed from the recordings at their own rate by `frontend.log_mel`, without
the code under test.
"""

import json

import numpy as np
import pytest
import soundfile

from a2v_tf.frontend import FrontEnd, log_mel
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.tables import Table
from a2v_tf.training.model_dir import (
    front_end_of,
    load_encoder,
    load_stream_encoder,
    read_config,
)
from tests.conftest import run_command

# 8 kHz: the papers' front end at half the rate. 48 kHz: frames of 12 ms every 8 ms, and no mel.
TELEPHONE = FrontEnd(8_000, 200, 80, 256, 64, 60.0, 3_900.0, 5e-3)
BIRDS = FrontEnd(48_000, 576, 384, 1_024, 0, 2_000.0, 8_000.0, 1.44e-2)
FLAGS = {
    "telephone": ["--sample_rate=8000"],
    "birds": [
        *("--sample_rate=48000", "--frame_ms=12", "--frame_hop_ms=8", "--representation=stft"),
        *("--low_hz=2000", "--high_hz=8000"),
    ],
}
SPECS = {"telephone": TELEPHONE, "birds": BIRDS}
FRAMES = 32
NAMES = list(SPECS)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """By name, a folder of noise at the front end's own rate, 3 s each, and a CSV of labels."""
    folders = {}
    for name, spec in SPECS.items():
        folder = folders[name] = tmp_path_factory.mktemp(name)
        rng = np.random.default_rng(0)
        rows = ["path,label,split"]
        for i in range(8):
            noise = 0.1 * rng.standard_normal(3 * spec.sample_rate)
            if i % 2:
                noise = np.cumsum(noise) / 20  # brown
            soundfile.write(folder / f"{i}.wav", np.clip(noise, -1, 1), spec.sample_rate)
            rows.append(f"{i}.wav,{'brown' if i % 2 else 'white'},{'test' if i > 3 else 'train'}")
        (folder / "labels.csv").write_text("\n".join(rows))
    return folders


@pytest.fixture(scope="module")
def models(sounds, tmp_path_factory):
    """By name, a model directory after two steps."""
    folder = tmp_path_factory.mktemp("models")
    for name in NAMES:
        run_command(
            "a2v_train",
            f"--data={sounds[name]}",
            f"--model_dir={folder / name}",
            *FLAGS[name],
            *("--task=cbow", f"--frames={FRAMES}", "--context=1", "--steps=2", "--batch_size=4"),
            *("--validation_examples=4", "--eval_every=2"),
            here=True,
        )
    return {name: folder / name for name in NAMES}


def read_table(path):
    with np.load(path) as columns:
        return Table(*(columns[name] for name in ("path", "start_s", "end_s", "embeddings")))


def windows_of(name, sounds, model_dir, hop_ms):
    """Embeddings of the windows of the first recording, `[n, d]`."""
    spec = SPECS[name]
    pcm, rate = soundfile.read(sounds[name] / "0.wav", dtype="float32")
    assert rate == spec.sample_rate
    window, hop = spec.samples(FRAMES), round(hop_ms * rate / 1000)
    cut = np.lib.stride_tricks.sliding_window_view(pcm, window)[::hop]
    return np.asarray(load_encoder(model_dir)(log_mel(cut.copy(), spec), training=False))


@pytest.mark.parametrize("name", NAMES)
def test_training_records_the_front_end(name, models):
    config = read_config(models[name])
    assert config["front_end"] == vars(SPECS[name])
    assert config["bins"] == SPECS[name].bins
    assert front_end_of(models[name]) == SPECS[name]
    assert load_encoder(models[name]).input_shape == (None, FRAMES, SPECS[name].bins)


@pytest.mark.parametrize("name", NAMES)
def test_statistics_are_those_of_the_recordings(name, models, sounds):
    """Of random crops, whose mean is near that of all frames."""
    spec = SPECS[name]
    frames = [
        log_mel(soundfile.read(path, dtype="float32")[0], spec).numpy()
        for path in sorted(sounds[name].glob("*.wav"))
    ]
    config = read_config(models[name])
    assert config["input_mean"] == pytest.approx(np.mean(frames), abs=0.15)
    assert config["input_variance"] == pytest.approx(np.var(frames), rel=0.15)


@pytest.mark.parametrize("name", NAMES)
def test_embed(name, models, sounds, tmp_path):
    output = tmp_path / "embeddings.npz"
    audio = sounds[name] / "0.wav"
    options = [f"--audio={audio}", f"--output={output}", "--hop_ms=100"]
    run_command("a2v_embed", f"--model={models[name]}", *options, here=True)
    table = read_table(output)
    want = windows_of(name, sounds, models[name], 100)
    np.testing.assert_allclose(table.embeddings, want, atol=1e-5)
    np.testing.assert_allclose(table.start_s, 0.1 * np.arange(len(want)))
    np.testing.assert_allclose(table.end_s - table.start_s, SPECS[name].seconds(FRAMES))


def test_resampled_recordings_give_nearly_the_same(models, sounds, tmp_path):
    """A recording at twice the rate, made by repeating the spectrum's lower half."""
    pcm, rate = soundfile.read(sounds["telephone"] / "0.wav")
    spectrum = np.fft.rfft(pcm)
    spectrum[-len(spectrum) // 20 :] = 0  # where filters have their slope
    files = {}
    for factor in (1, 2):
        wider = np.pad(spectrum, (0, (factor - 1) * (len(pcm) // 2)))
        files[factor] = tmp_path / f"{factor}.wav"
        twice = factor * np.fft.irfft(wider, factor * len(pcm))
        soundfile.write(files[factor], twice, factor * rate, subtype="FLOAT")
    output = tmp_path / "embeddings.npz"
    run_command(
        "a2v_embed", f"--model={models['telephone']}", f"--audio={tmp_path}", f"--output={output}",
        here=True,
    )  # fmt: skip
    table = read_table(output)
    one, two = (table.embeddings[table.path == str(files[factor])] for factor in (1, 2))
    assert np.abs(one - two).max() < 0.05 * np.abs(one).max()


@pytest.mark.parametrize("name", ["telephone", pytest.param("birds", marks=pytest.mark.slow)])
def test_evaluate(name, models, sounds, tmp_path):
    output = tmp_path / "results.json"
    options = [f"--downstream=csv:{sounds[name]}/labels.csv", f"--output={output}"]
    run_command(
        "a2v_evaluate",
        f"--model_dir={models[name]}",
        *options,
        *("--baselines=spectrogram,untrained", "--untrained_seeds=1", "--finetune=none,fc"),
        *("--finetune_steps=2", "--finetune_batch_size=4", "--finetune_rounds=1"),
        here=True,
    )
    rows = json.loads(output.read_text())["results"]
    frozen = {row["model"]: row["accuracy"] for row in rows if row["protocol"] == "linear"}
    assert frozen == {name: 1.0, "spectrogram": 1.0, "untrained": 1.0}
    assert {row["finetune"] for row in rows} == {"none", "fc"}


# Exported files -----------------------------------------------------------------------------------

HOP_FRAMES = 4


@pytest.fixture(scope="module")
def exported(models, tmp_path_factory):
    """By name and kind, files that stream every 4 frames: int8 and float from PCM, int8 frames."""
    folder = tmp_path_factory.mktemp("exported")
    files = {}
    for name in NAMES:
        hop = f"--hop_ms={1000 * HOP_FRAMES * SPECS[name].period:g}"
        common = [f"--model_dir={models[name]}", hop]
        int8 = ["--quantize", "--calibration_slices=16"]
        for kind, options in {
            "int8": int8,
            "float": [],
            "frames": [*int8, "--input=log_mel"],
        }.items():
            path = files[name, kind] = folder / f"{name}_{kind}.tflite"
            summary = folder / f"{name}_{kind}.json"
            run_command(
                "export_tflite",
                *common,
                *options,
                *(f"--output={path}", f"--summary={summary}"),
                here=True,
            )
            exactness = json.loads(summary.read_text())["exactness"]
            assert kind == "float" or exactness["bit_exact"]
    return files


@pytest.mark.parametrize("name", NAMES)
def test_streaming_files(name, exported, models, sounds, tmp_path):
    """int8 from PCM equals int8 from the definition's frames, but for rounding; float, Keras."""
    spec = SPECS[name]
    pcm, rate = soundfile.read(sounds[name] / "1.wav", dtype="float32")
    embedders = {kind: Embedder(exported[name, kind]) for kind in ("int8", "float", "frames")}
    for embedder in embedders.values():
        assert embedder.front_end == spec
        assert embedder.sample_rate == rate
        assert embedder.hop == HOP_FRAMES * spec.hop_length
        assert embedder.span == spec.samples(FRAMES)
    streams = {kind: np.stack(embedder.stream(pcm)) for kind, embedder in embedders.items()}
    step = np.diff(np.unique(streams["int8"])).min()
    assert np.abs(streams["int8"] - streams["frames"]).max() <= 4.1 * step
    padded = np.pad(pcm, (spec.overlap, 0))
    encoder, step_frames, _ = load_stream_encoder(models[name])
    of_keras = np.asarray(encoder(log_mel(padded[None], spec)[:, : FRAMES * 8], training=False))[0]
    every = step_frames // HOP_FRAMES
    of_file = streams["float"][every - 1 :: every][: len(of_keras)]
    np.testing.assert_allclose(of_file, of_keras, atol=1e-3 * np.abs(of_keras).max())


@pytest.mark.parametrize("name", NAMES)
def test_stream_and_embed_commands(name, exported, sounds, tmp_path):
    spec, model, audio = SPECS[name], exported[name, "int8"], sounds[name] / "0.wav"
    run = run_command(
        "a2v_stream", f"--model={model}", f"--audio={audio}", "--format=jsonl", here=True
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    hop = HOP_FRAMES * spec.period
    np.testing.assert_allclose([x["end_s"] for x in lines], hop * np.arange(1, len(lines) + 1))
    assert f"3.00 s of audio: {len(lines)} embeddings" in run.stderr
    output = tmp_path / "x.npz"
    run_command(
        "a2v_embed", f"--model={model}", f"--audio={audio}", f"--output={output}", here=True
    )
    table = read_table(output)
    np.testing.assert_allclose(table.embeddings, [x["embedding"] for x in lines])
    np.testing.assert_allclose(table.end_s, [x["end_s"] for x in lines])
    assert table.start_s[-1] == pytest.approx(table.end_s[-1] - spec.seconds(FRAMES))


def test_a_hop_that_does_not_fit_is_refused(models, tmp_path):
    output = f"--output={tmp_path / 'x.tflite'}"
    for name, wrong, message in (
        ("birds", "--hop_ms=40", "--hop_ms=40: expected one of 256, 128, 64, 32, 16, 8"),
        ("telephone", "--hop_ms=8", "--hop_ms=8: expected one of 320, 160, 80, 40, 20, 10"),
    ):
        run = run_command("export_tflite", f"--model_dir={models[name]}", output, wrong, fails=True)
        assert message in run.stderr


@pytest.mark.parametrize("name", NAMES)
def test_reconstruct_writes_sound_at_the_rate(name, models, sounds, tmp_path):
    output, spec = tmp_path / "r", SPECS[name]
    flags = [f"--model_dir={models[name]}", f"--audio={sounds[name] / '0.wav'}", "--at=1"]
    run_command("a2v_reconstruct", *flags, f"--output={output}", here=True)
    original, rate = soundfile.read(f"{output}_original.wav")
    assert rate == spec.sample_rate
    recording, _ = soundfile.read(sounds[name] / "0.wav")
    start = rate  # --at
    gain = np.abs(original).max() / np.abs(recording[start : start + len(original)]).max()
    np.testing.assert_allclose(original, gain * recording[start : start + len(original)], atol=2e-4)


def test_evaluate_refuses_a_baseline_of_another_front_end(models, sounds):
    run = run_command(
        "a2v_evaluate",
        f"--model_dir={models['telephone']}",
        f"--downstream=csv:{sounds['telephone']}/labels.csv",
        "--baselines=pretrained",
        fails=True,
    )
    assert "--baselines=pretrained: takes sound by FrontEnd(sample_rate=16000" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_supervised_training_and_every_way_to_read(name, sounds, tmp_path):
    """Labelled data, a cache and the device compute the same statistics as a folder."""
    common = [f"--frames={FRAMES}", "--steps=1", "--batch_size=4", "--validation_examples=4"]
    means = {}
    for how, options in {
        "host": ["--task=autoencoder"],
        "cache": ["--task=autoencoder", f"--cache={tmp_path / 'cache'}", "--gain_db=6"],
        "device": ["--task=autoencoder", "--frontend=device"],
        "supervised": ["--task=supervised"],
    }.items():
        labels = f"csv:{sounds[name]}/labels.csv"
        data = labels if how == "supervised" else sounds[name]
        model_dir = tmp_path / how
        run_command(
            "a2v_train",
            *(f"--data={data}", f"--model_dir={model_dir}", *FLAGS[name], *common, *options),
            here=True,
        )
        assert front_end_of(model_dir) == SPECS[name]
        means[how] = read_config(model_dir)["input_mean"]
    assert means["device"] == means["host"]
    assert means["cache"] == pytest.approx(means["host"], abs=2e-3)
    assert means["supervised"] == pytest.approx(means["host"], abs=0.5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sample_rate=8000", "--high_hz=7800"], "front end: a band from 60 to 7800 Hz: expecte"),
        (
            ["--frame_hop_ms=10.01"],
            "--frame_hop_ms=10.01: is 160.16 samples at --sample_ra",
        ),
        (["--frame_ms=2000"], "--frame_ms=2000: is longer than a slice of --frames=96 every 10 ms"),
        (["--representation=stft", "--mel_bins=32"], "--mel_bins=32: for --representation=log_mel"),
        (["--sample_rate=8000", "--mel_bins=200"], "contains no frequency of a Fourier transform"),
        (["--sample_rate=8000", "--data=spectrogram:x"], "--sample_rate=8000: for audio, not for"),
        (
            ["--frame_ms=20", "--task=distill", "--teachers=crepe_tiny"],
            "--frame_ms=20.0: not with distill, whose teachers take slices of 975 ms at 16 kHz",
        ),
        (["--sample_rate=8000", "--decoder=tfio"], "decoder=tfio"),
    ],
)
def test_what_does_not_go_together_is_refused(flags, message, sounds, tmp_path):
    data = [] if any("--data" in flag for flag in flags) else [f"--data={sounds['telephone']}"]
    run = run_command("a2v_train", *data, f"--model_dir={tmp_path / 'x'}", *flags, fails=True)
    assert message in run.stderr
    assert run.stderr.count("\n") == 1

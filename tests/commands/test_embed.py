"""`a2v_embed`: the same numbers from Keras and from every exported form, and bad input."""

import pathlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from a2v_tf.commands import embed
from a2v_tf.commands.embed import open_model
from a2v_tf.errors import A2vError
from a2v_tf.export.build import export_file
from a2v_tf.frontend import FRONT_END
from a2v_tf.models.encoder import build_encoder
from a2v_tf.runtime.clips import embed_files
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.training import keras_clips
from a2v_tf.training.model_dir import write_config
from tests.conftest import run_command
from tests.export.conftest import randomise_batch_norm

STATS = InputStats(-1.0, 4.0)
HOP = 5_120  # samples: 320 ms


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    encoder = build_encoder(ENCODERS["small"], 96, 64, STATS)
    randomise_batch_norm(encoder)
    encoder.save(directory / "encoder.keras")
    write_config(
        directory,
        {
            **{"encoder": "small", "frames": 96, "bins": 64, "front_end": vars(FRONT_END)},
            **{"input_mean": STATS.mean, "input_variance": STATS.variance},
        },
    )
    return directory


@pytest.fixture(scope="module")
def exported(model_dir):
    """Files of every kind, by (mode, quantised)."""
    rng = np.random.default_rng(1)
    slices = rng.normal(STATS.mean, 2.0, (16, 96, 64)).astype(np.float32)
    files = {}
    for mode in ("window", "streaming"):
        for quantize in (False, True):
            path = model_dir / f"{mode}_{quantize}.tflite"
            export_file(
                model_dir,
                path,
                mode=mode,
                quantize=quantize,
                calibration=slices if quantize else None,
            )
            files[mode, quantize] = str(path)
    return files


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    for name, seconds in (("a.wav", 4.0), ("b/c.flac", 1.7), ("b/short.wav", 0.1)):
        (folder / name).parent.mkdir(exist_ok=True)
        noise = 0.1 * rng.standard_normal(int(16_000 * seconds))
        soundfile.write(folder / name, noise * np.linspace(0.05, 1, len(noise)), 16_000)
    return folder


def embed_a(model, recordings, hop_ms=None, stream=False):
    return embed_files([recordings / "a.wav"], open_model(str(model), hop_ms, stream), 0.1)


def test_windows_every_hop(model_dir, recordings):
    table = embed_a(model_dir, recordings, hop_ms=100)
    assert set(table.path) == {str(recordings / "a.wav")}
    np.testing.assert_allclose(table.start_s, 0.1 * np.arange(len(table)))
    np.testing.assert_allclose(table.end_s - table.start_s, 0.975)
    assert table.embeddings.shape == (len(table), 128)
    assert len(table) == 1 + int((4.0 - 0.975) / 0.1)


@pytest.mark.parametrize("mode", ["window", "streaming"])
def test_same_numbers_from_keras_and_tflite(mode, model_dir, exported, recordings):
    keras_table = embed_a(model_dir, recordings, stream=mode == "streaming")
    float_table = embed_a(exported[mode, False], recordings)
    int8_table = embed_a(exported[mode, True], recordings)
    for table in (float_table, int8_table):
        for name in ("path", "start_s", "end_s"):
            np.testing.assert_array_equal(getattr(table, name), getattr(keras_table, name))
    want = keras_table.embeddings
    np.testing.assert_allclose(float_table.embeddings, want, atol=1e-3)
    cosine = (int8_table.embeddings * want).sum(1) / (
        np.linalg.norm(int8_table.embeddings, axis=1) * np.linalg.norm(want, axis=1)
    )
    assert cosine.min() > 0.97


def test_stream_hears_what_came_before(model_dir, recordings):
    """After three hops with nothing before, a stream and a window hear the same frames."""
    stream = embed_a(model_dir, recordings, stream=True)
    np.testing.assert_allclose(stream.end_s, 0.32 * np.arange(1, len(stream) + 1))
    assert (stream.start_s >= 0).all()
    encoder = open_model(str(model_dir), None)
    pcm, _ = soundfile.read(recordings / "a.wav", dtype="float32")
    first_window = np.concatenate([np.zeros(240, np.float32), pcm[: 3 * HOP]])
    _, _, window = encoder([first_window])
    np.testing.assert_allclose(stream.embeddings[2], window[0], rtol=1e-3, atol=1e-4)


def test_several_models_side_by_side(model_dir, exported, recordings, tmp_path):
    """ICLR sections 4 and 5: representations of several models, merged."""
    one, other = str(model_dir), exported["window", True]
    both = embed_a(f"{one},{other}", recordings)
    alone = [embed_a(model, recordings).embeddings for model in (one, other)]
    np.testing.assert_array_equal(both.embeddings, np.concatenate(alone, axis=1))
    with pytest.raises(A2vError, match="describe other stretches of a clip"):
        embed_a(f"{one},{exported['streaming', True]}", recordings)
    output = tmp_path / "both.npz"
    options = [f"--audio={recordings}", f"--output={output}"]
    run_command("a2v_embed", f"--model={one},{other}", *options, here=True)
    assert np.load(output)["embeddings"].shape[1] == 256


def test_long_clips_go_in_blocks(model_dir, recordings, monkeypatch):
    whole = embed_a(model_dir, recordings, stream=True)
    monkeypatch.setattr(keras_clips, "BATCH", 2)
    in_blocks = embed_a(model_dir, recordings, stream=True)
    np.testing.assert_allclose(in_blocks.embeddings, whole.embeddings, rtol=1e-4, atol=1e-5)


def test_a_stream_forgets_between_files(exported, recordings):
    model = open_model(exported["streaming", True], None)
    alone = embed_files([recordings / "a.wav"], model, 0.1)
    after_another = embed_files([recordings / "b" / "c.flac", recordings / "a.wav"], model, 0.1)
    np.testing.assert_array_equal(after_another.embeddings[-len(alone) :], alone.embeddings)


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_formats(suffix, model_dir, recordings, tmp_path):
    table = embed_a(model_dir, recordings)
    output = tmp_path / f"out{suffix}"
    table.write(output)
    if suffix == ".npz":
        with np.load(output) as loaded:
            np.testing.assert_array_equal(loaded["embeddings"], table.embeddings)
            np.testing.assert_array_equal(loaded["start_s"], table.start_s)
            assert set(loaded["path"]) == {str(recordings / "a.wav")}
    else:
        loaded = pd.read_csv(output) if suffix == ".csv" else pd.read_parquet(output)
        assert list(loaded.columns[:4]) == ["path", "start_s", "end_s", "e0"]
        for name in ("path", "start_s", "end_s"):
            np.testing.assert_array_equal(loaded[name], getattr(table, name))
        found = loaded.drop(columns=["path", "start_s", "end_s"]).to_numpy(np.float32)
        np.testing.assert_array_equal(found, table.embeddings)
    assert [p.name for p in tmp_path.iterdir()] == [output.name]


def test_a_bad_file_is_named_and_skipped(model_dir, recordings, tmp_path, caplog):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"not audio")
    table = embed_files([recordings / "a.wav", bad], open_model(str(model_dir), None), 0.5)
    assert set(table.path) == {str(recordings / "a.wav")}
    assert "bad.wav" in caplog.text
    with pytest.raises(A2vError, match=r"more than --max_bad_fraction=0\.1; .*bad\.wav"):
        embed_files([recordings / "a.wav", bad], open_model(str(model_dir), None), 0.1)


def test_command_on_a_directory(exported, recordings, tmp_path):
    output = tmp_path / "out.npz"
    run_command(
        "a2v_embed",
        f"--model={exported['streaming', True]}",
        f"--audio={recordings}",
        f"--output={output}",
    )
    with np.load(output) as loaded:
        names = [path.rsplit("/", 1)[-1] for path in np.unique(loaded["path"])]
        assert names == ["a.wav", "c.flac", "short.wav"]
        assert loaded["embeddings"].shape == (12 + 5 + 1, 128)


def test_command_with_a_model_directory_writes_shards(model_dir, recordings, tmp_path):
    options = [f"--model={model_dir}", f"--audio={recordings}", "--hop_ms=100"]
    for output in ("shards/", "one.parquet"):
        run = run_command("a2v_embed", *options, f"--output={tmp_path}/{output}", here=True)
        assert f"{output}: 40 embeddings of 3 files" in run.stdout
    shards, one = (pd.read_parquet(tmp_path / name) for name in ("shards", "one.parquet"))
    pd.testing.assert_frame_equal(shards, one)
    options[-1] = "--stream"
    run = run_command("a2v_embed", *options, f"--output={tmp_path}/shards/", fails=True)
    message = "was made with another --hop_ms and another --stream: expected a new folder"
    assert message in run.stderr


def test_bad_input_of_the_command(model_dir, recordings, tmp_path):
    """One process for the flags that absl checks, one for those we check."""
    good = [f"--model={model_dir}", f"--audio={recordings}", f"--output={tmp_path}/out.npz"]
    run = run_command("a2v_embed", *good, "--max_bad_fraction=3", fails=True)
    assert "max_bad_fraction" in run.stderr
    run = run_command("a2v_embed", *good, "--output=out.xls", fails=True)
    assert run.stderr.strip().splitlines()[-1] == (
        "error: --output='out.xls': expected a name ending in .npz or .csv or .parquet, or, for a "
        "folder of Parquet shards, in '/'"
    )
    run = run_command("a2v_embed", *good, "--beam_pipeline_options=runner=FnApiRunner", fails=True)
    assert "out.npz': --beam_pipeline_options writes a folder of Parquet shards" in run.stderr
    assert "Traceback" not in run.stderr


def test_bad_models_and_audio(exported, model_dir, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"TFL3 but not really")
    for model, hop_ms, stream, message in (
        ("/no/such/model", None, False, "^--model=/no/such/model: expected a .tflite"),
        ("/no/such/model.tflite", None, False, "/no/such/model.tflite"),
        (str(tmp_path / "bad.tflite"), None, False, "bad.tflite"),
        (exported["streaming", True], 100, False, "has a hop of 320 ms"),
        (exported["window", True], None, True, "--stream"),
        (str(model_dir), 0.01, False, "--hop_ms=0.01"),
        (str(model_dir), 0.0, False, "--hop_ms=0.0: expected at least one sample"),
    ):
        with pytest.raises(A2vError, match=message):
            open_model(model, hop_ms, stream)([np.zeros(16_000, np.float32)])
    for audio, message in (("/no/such.wav", "/no/such.wav"), (str(tmp_path), "no audio files")):
        with pytest.raises(A2vError, match=message):
            embed.audio_files(pathlib.Path(audio))

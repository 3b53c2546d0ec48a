"""Spectrogram corpora: CSV files of band levels, from the reader to the exported model."""

import csv
import gzip
import json
import os

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.commands.embed import open_model
from a2v_tf.data import sampling, spectrogram, spectrogram_csv
from a2v_tf.data.sources import one_line_errors, open_source
from a2v_tf.errors import A2vError
from a2v_tf.export.build import export_file
from a2v_tf.files import cache_dir
from a2v_tf.models.encoder import build_encoder
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.training.model_dir import load_encoder, load_model, read_config, write_config
from tests.conftest import run_command

PERIOD = 0.125
THIRD_OCTAVES = (
    *(20, 25, 31.5, 40, 50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000),
    *(1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000, 10000, 12500),
)
BANDS = [f"{frequency:g}" for frequency in THIRD_OCTAVES]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def write_csv(path, seconds, levels, names=None, **options):
    """Write a CSV of timestamps and levels `[rows, F]`."""
    table = pd.DataFrame(np.asarray(levels), columns=names or BANDS[: np.shape(levels)[1]])
    table.insert(0, "time", seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, **options)


def numbered(rows, first=0):
    """Two bands whose values identify the frame."""
    return first + np.stack([np.arange(rows), np.arange(rows) + 0.5], axis=1)


def regular(rows, start=0.0):
    return start + PERIOD * np.arange(rows)


def take(source, frames, count, seed=1, round_index=0):
    crops = source.crops(frames, seed=seed, round_index=round_index).take(count)
    return list(crops.as_numpy_iterator())


def train_folder(tmp_path):
    return f"spectrogram:{tmp_path}", tmp_path / "train"


# ---- Crops and continuity ----


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from([1.0, 1.0, 1.0, 0.6, 1.4, 0.0, -2.0, 0.4, 1.6, 9.0]), max_size=40
    ),
    missing=st.sets(st.integers(0, 40), max_size=4),
    frames=st.integers(1, 8),
)
def test_crops_start_where_all_their_frames_are_consecutive(steps, missing, frames):
    """Compared with the definition, frame by frame."""
    complete = np.array([i not in missing for i in range(len(steps) + 1)])
    follows = np.append(False, spectrogram_csv._is_period(PERIOD * np.array(steps), PERIOD))
    stretches = spectrogram_csv._stretches(complete, follows)
    found = [first + i for first, rows in stretches for i in range(rows - frames + 1)]
    expected = [
        start
        for start in range(len(complete) - frames + 1)
        if complete[start : start + frames].all()
        and all(abs(step - 1) <= 0.5 for step in steps[start : start + frames - 1])
    ]
    assert found == expected


def test_every_valid_start_is_equally_likely_and_no_crop_crosses_a_gap(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "STRATUM", 3)  # for epochs of several draws
    data, folder = train_folder(tmp_path)
    seconds = np.concatenate([regular(12), regular(3, 100.0), regular(10, 50.0), regular(9, 51.25)])
    levels = numbered(len(seconds))
    levels[30, 1] = np.nan
    write_csv(folder / "a.csv", seconds, levels)
    write_csv(folder / "deep" / "b.csv", regular(7), numbered(7, 1000))
    frames = 5
    # Stretches: 12 frames, 3 (too few), 15 up to the missing frame 30, 3 after it (too few).
    expected = [*range(8), *range(15, 26), *range(1000, 1003)]
    source = open_source(data)
    source.check(frames)
    crops = take(source, frames, 2_200)
    for crop, _ in crops:
        assert crop.dtype == np.float32
        np.testing.assert_array_equal(crop, numbered(frames, crop[0, 0]))
    values, counts = np.unique([crop[0, 0] for crop, _ in crops], return_counts=True)
    np.testing.assert_array_equal(values, expected)
    assert scipy.stats.chisquare(counts).pvalue > 0.01
    assert {(crop[0, 0] >= 1000, int(clip)) for crop, clip in crops} == {(False, 0), (True, 1)}
    # Without gaps there would be 30 + 3 starts.
    assert "2 discontinuities in time, 1 frames with missing levels (11 of 33" in source.describe()


def test_places_say_where_in_its_stretch_a_crop_is(tmp_path):
    data, folder = train_folder(tmp_path)
    seconds = np.concatenate([regular(9), regular(7, 100.0)])  # two stretches
    write_csv(folder / "a.csv", seconds, numbered(16))
    source = open_source(data)
    crops = source.crops(5, seed=1, round_index=0, places=True).take(60)
    seen = set()
    for levels, clip, (k, n, first) in crops.as_numpy_iterator():
        assert clip == 0
        assert levels[0, 0] == first + k
        np.testing.assert_array_equal(source.read(0, first + k, 5), levels)
        seen.add((int(k), int(n), int(first)))
    assert seen == {*((k, 5, 0) for k in range(5)), *((k, 3, 9) for k in range(3))}


def test_crops_are_a_function_of_seed_and_round(tmp_path):
    data, folder = train_folder(tmp_path)
    write_csv(folder / "a.csv", regular(3_000), numbered(3_000))
    draws = {
        (seed, index): np.stack([x for x, _ in take(open_source(data), 9, 20, seed, index)])
        for seed, index in [(1, 0), (1, 1), (2, 0)]
    }
    again = [x for x, _ in take(open_source(data), 9, 20, 1, 0)]
    np.testing.assert_array_equal(draws[1, 0], again)
    assert len({draw.tobytes() for draw in draws.values()}) == 3


def test_a_cached_file_is_read_again_only_when_it_changes(tmp_path, monkeypatch):
    data, folder = train_folder(tmp_path)
    path = folder / "a.csv"
    write_csv(path, regular(20), numbered(20))
    os.utime(path, (1, 1))
    first = take(open_source(data), 5, 3)
    monkeypatch.setattr(spectrogram_csv, "_frames", None)
    second = take(open_source(data), 5, 3)
    assert all((a[0] == b[0]).all() for a, b in zip(first, second, strict=True))
    monkeypatch.undo()
    path.write_text(path.read_text().replace("19.5", "29.5"))
    assert max(crop.max() for crop, _ in take(open_source(data), 20, 1)) == 29.5


def test_a_deleted_cache_stops_the_stream_with_one_line(tmp_path):
    data, folder = train_folder(tmp_path)
    write_csv(folder / "a.csv", regular(20), numbered(20))
    source = open_source(data)
    for path in (cache_dir() / "spectrograms").glob("*.f32"):
        path.write_bytes(b"")
    with pytest.raises(A2vError, match=r"no longer holds what was read of .*a\.csv$"):  # noqa: SIM117
        with one_line_errors(source):
            take(source, 5, 1)


# ---- CSV files ----


def variants(folder):
    """The same two frames in several CSV dialects."""
    iso = ["2021-03-01T12:00:00.000", "2021-03-01T12:00:00.125"]
    levels = [[40.5, 41.5], [42.5, 43.5]]
    names = ["b1", "b2"]
    write_csv(folder / "seconds.csv", [0.0, 0.125], levels, names)
    write_csv(folder / "epoch.csv", [1614600000.0, 1614600000.125], levels, names)
    write_csv(folder / "iso.csv", iso, levels, names)
    write_csv(folder / "zone.csv", [f"{t}+01:00" for t in iso], levels, names)
    write_csv(folder / "space.csv", [t.replace("T", " ") for t in iso], levels, names)
    write_csv(folder / "german.csv", iso, levels, names, sep=";", decimal=",")
    write_csv(folder / "tabs.csv", iso, levels, names, sep="\t")
    write_csv(folder / "bom.csv", iso, levels, names, encoding="utf-8-sig")
    text = (folder / "iso.csv").read_text()
    (folder / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "comma_at_end.csv").write_text(text.replace("5\n", "5,\n"))
    (folder / "more.csv").write_text(
        "time,b1,remark,b2\n0,40.5,quiet,41.5\n0.125,42.5,,43.5\n0.25,1,loud,word\n"
    )
    return levels


def test_csv_variants(tmp_path):
    data, folder = train_folder(tmp_path)
    levels = variants(folder) if folder.mkdir() is None else None
    source = open_source(data, max_bad_fraction=0.0)
    assert source.front_end.columns == ("b1", "b2")
    crops = take(source, 2, 300)
    assert {int(clip) for _, clip in crops} == set(range(11))
    for crop, _ in crops:
        np.testing.assert_array_equal(crop, levels)


def test_columns_and_period_can_be_chosen(tmp_path):
    data, folder = train_folder(tmp_path)
    folder.mkdir()
    rows = ["1,7,60.5,0,30,31,32", "1,7,61.5,1,33,34,35", "1,7,62.5,2,36,37,38"]
    (folder / "a.csv").write_text("\n".join(["sensor,x,laeq,t,20,25,31.5", *rows]))
    source = open_source(data, spectrogram_time="t", spectrogram_period=1.0)
    assert source.front_end == spectrogram.BandLevels(("20", "25", "31.5"), 1.0)
    source.check(3)
    for columns, names, last in [
        (["25:31.5"], ("25", "31.5"), [37, 38]),
        (["31.5", "laeq"], ("31.5", "laeq"), [38, 62.5]),
    ]:
        options = {"spectrogram_time": "t", "spectrogram_columns": columns}
        source = open_source(data, **options, spectrogram_period=1.0)
        assert source.front_end.columns == names
        ((crop, _),) = take(source, 3, 1)
        np.testing.assert_array_equal(crop[-1], last)
    for options, message in [
        ({"spectrogram_time": "when"}, "has no column 'when'; it has sensor, x, laeq, ..., 31.5"),
        ({"spectrogram_columns": ["20:40"]}, "has no column '40'"),
        ({"spectrogram_columns": ["31.5:20"]}, "the bands 31.5:20 are none"),
        ({"spectrogram_columns": ["20", "20:25"]}, "some of them twice"),
    ]:
        with pytest.raises(A2vError, match=message) as error:
            open_source(data, **options)
        assert "\n" not in str(error.value)
    with pytest.raises(A2vError, match=r"1 continuous of 3 frames, 1 s apart instead of 0.125 s"):
        open_source(data, spectrogram_time="t").check(3)


def test_bad_files_are_logged_counted_and_listed(tmp_path):
    data, folder = train_folder(tmp_path)
    write_csv(folder / "a.csv", regular(60), numbered(60))
    gap = np.append(regular(30), regular(30, 99.0))
    write_csv(folder / "gap.csv", gap, numbered(60))
    write_csv(folder / "short.csv", regular(9), numbered(9))
    write_csv(folder / "other_bands.csv", regular(60), numbered(60), ["1k", "2k"])
    write_csv(folder / "days.csv", ["Monday"] * 60, numbered(60))
    write_csv(folder / "header_only.csv", [], np.zeros([0, 2]))
    for name, content in {
        "empty.csv": b"",
        "no_header.csv": b"0,1,2\n0.125,1,2\n",
        "no_text.csv": b"\xff\xfe" * 99,
        "quote.csv": b'time,20,25\n0,1,"2\n',
        "no_gzip.csv.gz": b"time,20,25\n0,1,2\n",
    }.items():
        (folder / name).write_bytes(content)
    source = open_source(data, max_bad_fraction=0.9, log_dir=tmp_path / "log")
    source.check(20)
    with (tmp_path / "log" / "bad_files.csv").open() as file:
        reasons = {os.path.basename(row["path"]): row["reason"] for row in csv.DictReader(file)}
    flaws = "1 discontinuities in time, 0 frames with missing levels"
    assert reasons.pop("gap.csv") == f"{flaws}: 19 crops rejected"
    for name, reason in {
        "short.csv": "has at most 9 continuous of 9 frames (0 discontinuities",
        "other_bands.csv": "has no column '20'; it has time, 1k, 2k",
        "days.csv": "column 'time': 'Monday' is neither ISO 8601 nor seconds",
        "header_only.csv": "has no rows",
        "empty.csv": "has no rows",
        "no_header.csv": "has no header: its first row is 0, 1, 2",
        "no_text.csv": "cannot be read as CSV: 'utf-8' codec",
        "quote.csv": "cannot be read as CSV: Error tokenizing",
        "no_gzip.csv.gz": "cannot be read as CSV: Not a gzipped file",
    }.items():
        assert reasons.pop(name).startswith(reason), name
    assert not reasons
    assert source.describe().endswith("(19 of 82 crops would cross one), 9 skipped")
    with pytest.raises(A2vError, match="8 of 11 files cannot be used") as error:
        open_source(data, max_bad_fraction=0.5).check(20)
    assert "\n" not in str(error.value)
    with pytest.raises(A2vError, match="no file has 61 continuous frames"):
        open_source(data, max_bad_fraction=1.0).check(61)


def test_directories_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad" / "train").mkdir(parents=True)
    (tmp_path / "bad" / "train" / "a.csv").write_text("no,numbers\na,b\n")
    for directory, reason in [
        ("missing", "does not exist; expected a folder of CSV files"),
        ("empty", "no .csv or .csv.gz file in the folder or below"),
        ("bad", "none of 1 CSV files can be used .*no columns of numbers after 'no'"),
        ("bad:val", "none of 1 CSV files is in the split val"),
    ]:
        with pytest.raises(A2vError, match=reason) as error:
            open_source(f"spectrogram:{tmp_path}/{directory}")
        assert directory in str(error.value)
        assert "\n" not in str(error.value)


# ---- Splits ----


def test_the_split_by_hash_does_not_change(tmp_path):
    for i in range(300):
        (tmp_path / f"{i}.csv").touch()
    found, split = spectrogram.split_files(str(tmp_path))
    assert split == "train"
    sizes = {name: len(paths) for name, paths in found.items()}
    assert sum(sizes.values()) == 300
    assert 15 <= sizes["val"] <= 45
    assert 15 <= sizes["test"] <= 45
    # The same as in the first version: a new version must not move files between splits.
    assert [path.name for path in found["val"]][:4] == ["101.csv", "103.csv", "113.csv", "118.csv"]
    for i in range(0, 300, 2):
        (tmp_path / f"{i}.csv").unlink()
    fewer, split = spectrogram.split_files(f"{tmp_path}:test")
    assert split == "test"
    assert set(fewer["test"]) == {path for path in found["test"] if int(path.stem) % 2}


def test_folders_are_splits(tmp_path, caplog):
    for i, name in enumerate(["train/a", "train/sub/b", "test/c", "d"]):
        write_csv(tmp_path / f"{name}.csv", regular(20), numbered(20, 100 * i))
    assert spectrogram.default_validation(str(tmp_path)) is None
    write_csv(tmp_path / "val" / "e.csv", regular(20), numbered(20, 400))
    assert spectrogram.default_validation(f"{tmp_path}:train") == f"{tmp_path}:val"
    assert spectrogram.default_validation(f"{tmp_path}:test") is None
    firsts = {
        split: {x[0, 0] for x, _ in take(open_source(f"spectrogram:{tmp_path}{split}"), 20, 30)}
        for split in ("", ":train", ":val", ":test")
    }
    assert firsts == {"": {0, 100}, ":train": {0, 100}, ":val": {400}, ":test": {200}}
    assert "left out 1 CSV files that are not in train, val or test" in caplog.text


# ---- Training and export ----

QUICK = ["--frames=32", "--context=1", "--batch_size=4", "--eval_every=2", "--seed=3"]
QUICK += ["--validation_examples=4"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """29 bands with structure in time and frequency, and a gap in one file."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    for i, split in enumerate(["train", "train", "val"]):
        rows = 400
        seconds = regular(rows) + (np.arange(rows) > 250) * (60.0 if i == 0 else 0.0)
        swell = np.sin(np.arange(rows) / (7 + i))[:, None] * np.linspace(2, 8, 29)
        levels = 70 - np.arange(29) + swell + rng.normal(0, 1, (rows, 29))
        write_csv(folder / split / f"{i}.csv", seconds, levels.round(1), BANDS)
    return folder


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A CBoW model after two rounds, the second one resumed, and the output of both runs."""
    model_dir = tmp_path_factory.mktemp("model")
    cache = tmp_path_factory.mktemp("module_cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        flags = [f"--data=spectrogram:{corpus}", f"--model_dir={model_dir}", *QUICK]
        runs = [
            run_command("a2v_train", *flags, f"--steps={steps}", here=True).stdout
            for steps in (2, 4)
        ]
    return model_dir, runs


def test_cbow_trains_and_resumes(trained, corpus):
    model_dir, (first, second) = trained
    assert "--data: spectrogram" in first
    assert "2 files, 0.03 hours of 29 bands (20 to 12500) every 125 ms, 1 disc" in first
    assert f"--validation_data: spectrogram:{corpus}:val: 1 files" in first
    assert "Resuming" in second
    config = read_config(model_dir)
    assert config["bins"] == 29
    assert config["front_end"] == {"columns": BANDS, "period": 0.125}
    assert config["input_mean"] == pytest.approx(56, abs=2)
    losses = pd.read_csv(model_dir / "train_log.csv")
    assert len(losses) == 2
    assert np.isfinite(losses["val_loss"]).all()
    model = load_model(model_dir, for_audio=False)
    assert model.input_shape == (None, 2, 32, 29)


@pytest.mark.slow
def test_another_task_trains(corpus, tmp_path):
    flags = [f"--data=spectrogram:{corpus}", f"--model_dir={tmp_path}", *QUICK]
    run_command("a2v_train", *flags, "--steps=2", "--task=temporal_gap", "--gain_db=3")
    encoder = load_encoder(tmp_path, for_audio=False)
    assert encoder.input_shape == (None, 32, 29)


@pytest.mark.parametrize("mode", ["streaming", "window"])
def test_exports_bit_exactly(trained, tmp_path, mode):
    model_dir, _ = trained
    summary = export_file(
        model_dir,
        tmp_path / "model.tflite",
        quantize=True,
        mode=mode,
        input="log_mel",
        calibration_slices=16,
    )
    assert summary["exactness"]["bit_exact"]
    assert summary["window_ms"] == 4_000
    assert summary["hop_ms"] == (4_000 if mode == "streaming" else None)
    embedder = Embedder(tmp_path / "model.tflite")
    assert embedder.input_shape == (32, 29)
    quiet, loud = (embedder.embed(np.full((32, 29), level)) for level in (40.0, 80.0))
    assert np.abs(quiet - loud).max() > 0
    with pytest.raises(A2vError, match="takes spectrograms of 29 bands, no audio"):
        open_model(str(tmp_path / "model.tflite"), None)


@pytest.mark.parametrize("frames", [20, 40])
def test_every_number_of_frames_works_for_windows_but_not_for_streaming(tmp_path, frames):
    encoder = build_encoder(ENCODERS["small"], frames, 29, InputStats(50.0, 90.0))
    encoder.save(tmp_path / "encoder.keras")
    bands = vars(spectrogram.BandLevels(tuple(BANDS), PERIOD))
    stats = {"input_mean": 50.0, "input_variance": 90.0}
    write_config(
        tmp_path,
        {"encoder": "small", "frames": frames, "bins": 29, "front_end": bands, **stats},
    )
    levels = np.random.default_rng(0).normal(50, 10, (4, frames, 29)).astype(np.float32)
    options = {"quantize": True, "input": "log_mel", "calibration": levels}
    summary = export_file(tmp_path, tmp_path / "window.tflite", mode="window", **options)
    assert summary["window_ms"] == frames * 125
    assert Embedder(tmp_path / "window.tflite").embed(levels[0]).shape == (128,)
    with pytest.raises(A2vError, match=f"the window of {frames} frames is not a multiple") as error:
        export_file(tmp_path, tmp_path / "stream.tflite", **options)
    assert "\n" not in str(error.value)


def test_commands_that_need_audio_refuse_the_model(trained, tmp_path):
    model_dir, _ = trained
    message = "trained on precomputed spectrograms of 29 bands and takes no audio: .*log_mel"
    for refuse in (
        lambda: export_file(model_dir, tmp_path / "model.tflite", input="pcm"),
        lambda: open_model(str(model_dir), None),
        lambda: open_model(str(model_dir), None, stream=True),
        lambda: load_encoder(model_dir),
        lambda: load_model(model_dir),
    ):
        with pytest.raises(A2vError, match=message) as error:
            refuse()
        assert "\n" not in str(error.value)


def test_other_frames_are_refused(trained, corpus, tmp_path):
    model_dir, _ = trained
    write_csv(tmp_path / "train" / "a.csv", regular(200), np.ones([200, 29]), names=None)
    other = tmp_path / "train" / "a.csv"
    other.write_text(other.read_text().replace("12500", "16000", 1))
    with pytest.raises(A2vError, match="expected that of the training data") as error:
        export_file(
            model_dir,
            tmp_path / "model.tflite",
            quantize=True,
            input="log_mel",
            calibration_data=f"spectrogram:{tmp_path}",
        )
    assert "\n" not in str(error.value)
    config = json.loads((model_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "front_end": {"mel_bins": 3}}))
    with pytest.raises(
        A2vError, match=r"front end: \['mel_bins'\]: expected sample_rate, window_length"
    ):
        load_encoder(tmp_path, for_audio=False)

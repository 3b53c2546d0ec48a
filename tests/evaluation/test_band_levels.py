"""Models of precomputed spectrograms through every command: losses, labels, matrix, embeddings."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from a2v_tf.data.spectrogram_csv import read_levels
from a2v_tf.errors import A2vError
from a2v_tf.evaluation import band_levels
from a2v_tf.evaluation.gap import estimate, greatest
from a2v_tf.evaluation.reconstruction import reconstruct
from a2v_tf.specs import BandLevels
from a2v_tf.training.model_dir import load_encoder
from a2v_tf.training.trained_task import open_task
from tests.conftest import run_command
from tests.tiny_models import THIRD_OCTAVES, write_model

N = 32
BANDS = BandLevels(tuple(THIRD_OCTAVES["columns"]), 0.125)
ROWS = 400
EVENTS = [(0, 160, "low"), (160, 320, "high")]  # rows; a jump of a minute follows row 339


def levels_of(seed: int) -> np.ndarray:
    """Levels whose spectral tilt changes from one event to the next."""
    noise = np.random.default_rng(seed).normal(0, 1, (ROWS, 29))
    tilt = np.where(np.arange(ROWS) < 160, 1.0, -1.0)[:, None] * np.linspace(-20, 20, 29)
    return (60 + tilt + noise).round(1)


def seconds_of() -> np.ndarray:
    return 1_000 + 0.125 * np.arange(ROWS) + 60.0 * (np.arange(ROWS) > 339)


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    lines = []
    for seed, split in enumerate(("train", "train", "val", "test")):
        table = pd.DataFrame(levels_of(seed), columns=list(BANDS.columns))
        table.insert(0, "time", seconds_of())
        (folder / split).mkdir(exist_ok=True)
        table.to_csv(folder / split / f"{seed}.csv", index=False)
        for first, end, label in EVENTS:
            times = seconds_of()[[first, end]]
            lines.append(f"{split}/{seed}.csv,{times[0]},{times[1]},{label}")
    (folder / "labels.txt").write_text("\n".join(["path,start,end,label", *lines]))
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("levels")
    stats = {"input_mean": 60.0, "input_variance": 150.0}
    write_model(directory, "cbow", "temporal_gap", bins=29, front_end=vars(BANDS), seed=1, **stats)
    return directory


def test_evaluate_judges_the_test_files(model_dir, corpus, tmp_path):
    run = run_command(
        "a2v_evaluate",
        f"--model_dir={model_dir}",
        f"--downstream=spectrogram:{corpus}",
        f"--labels={corpus / 'labels.txt'}",
        f"--output={tmp_path / 'results.json'}",
        f"--write_matrix={tmp_path / 'X.npz'}",
        "--protocols=linear,knn_clips",
        here=True,
    )
    assert "accuracy in % of labelled stretches of test" in run.stdout
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["split"] == "test"
    assert [row["split"] for row in found["losses"]] == ["train", "val", "test"]
    assert [row["files"] for row in found["losses"]] == [2, 1, 1]
    for row in found["losses"]:
        assert 0 < row["cbow"] < np.inf
        assert 0 < row["temporal_gap"] < np.inf
    by_protocol = {row["protocol"]: row for row in found["labels"]}
    assert set(by_protocol) == {"linear", "knn_clips"}
    assert by_protocol["linear"]["accuracy"] == 1.0  # the tilt tells them apart
    assert by_protocol["linear"]["n_test"] == 2
    matrix = np.load(tmp_path / "X.npz")
    assert matrix["bands"].tolist() == list(BANDS.columns)
    for split, files in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
        columns = matrix[split]
        # floor(340 / 32) and floor(60 / 32) slices of each file's two stretches
        assert columns.shape == (29 * N, 11 * len(files))
        for column, path, row in zip(
            columns.T, matrix[f"{split}_path"], matrix[f"{split}_row"], strict=True
        ):
            seed = int(path.split("/")[1].removesuffix(".csv"))
            want = levels_of(seed)[row : row + N].astype(np.float32)
            np.testing.assert_array_equal(column.reshape(N, 29), want)
            assert not row < 340 < row + N


def test_another_split_can_be_judged(model_dir, corpus):
    opened = band_levels.open_corpus(str(model_dir), f"spectrogram:{corpus}:val")
    assert opened.judged == "val"
    windows = band_levels.labelled_windows(str(model_dir), opened, corpus / "labels.txt")
    assert windows.classes == ("high", "low")
    assert windows.splits.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    assert np.bincount(windows.clip).tolist() == [5] * 8  # slices of 32 in 160 rows
    encoder = load_encoder(model_dir, for_audio=False)
    slices = levels_of(0)[:160].reshape(5, N, 29).astype(np.float32)
    np.testing.assert_allclose(windows.values[:5], encoder.predict(slices, verbose=0), 1e-4, 1e-4)


def test_embed(model_dir, corpus, tmp_path):
    output = tmp_path / "embeddings.npz"
    flags = [f"--model={model_dir}", f"--audio=spectrogram:{corpus}:test", f"--output={output}"]
    assert "of 1 files" in run_command("a2v_embed", *flags, here=True).stdout
    table = np.load(output)
    assert table["embeddings"].shape == (11, 128)
    np.testing.assert_allclose(table["start_s"][:2], [0, 4])
    np.testing.assert_allclose(table["start_s"][10], 340 * 0.125 + 60)
    np.testing.assert_allclose(table["end_s"] - table["start_s"], 4)
    assert table["path"][0].endswith("test/3.csv")
    run_command("a2v_embed", *flags, "--hop_ms=1000", here=True)
    assert len(np.load(output)["path"]) == (340 - N) // 8 + 1 + (60 - N) // 8 + 1


def test_reconstruct(model_dir, corpus, tmp_path):
    audio = corpus / "test" / "3.csv"
    prefix = tmp_path / "picture"
    flags = [f"--model_dir={model_dir}", f"--audio={audio}", f"--output={prefix}"]
    run = run_command("a2v_reconstruct", *flags, "--at=10", here=True)
    assert run.stdout.splitlines()[-1] == f"Wrote {prefix}.png"
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]
    task = open_task(model_dir, ["cbow"])
    result = reconstruct(task, task.read(audio, "mix"), 10.0)
    np.testing.assert_array_equal(result.truth, levels_of(3)[80 - 34 : 80 + 66].astype(np.float32))
    for at, message in (
        (41, "^--at=41: levels are missing between 36.75 and "),
        (400, "the recording lasts 110.00 s"),
    ):
        with pytest.raises(A2vError, match=message):
            reconstruct(task, task.read(audio, "mix"), at)
    run = run_command("a2v_reconstruct", *flags[:1], "--audio=x.csv", "--at=1", fails=True)
    assert run.stderr.splitlines()[-1].startswith("error: x.csv cannot be read as CSV: No such")


def test_gap(model_dir, corpus):
    audio = corpus / "train" / "0.csv"
    flags = [f"--model_dir={model_dir}", f"--audio={audio}"]
    out = run_command("a2v_gap", *flags, "--first=3", "--second=10.5", here=True).stdout
    assert out.splitlines()[1].split() == ["true", "distance:", "7.50", "s"]
    task = open_task(model_dir, ["temporal_gap"])
    levels = task.read(audio, "mix")
    assert greatest(task, len(levels)) == 100 * 0.125
    assert 0 <= estimate(task, levels, 24, 84) <= 12.5
    assert estimate(task, levels, 24, 84) == estimate(task, levels, 84, 24)


def test_levels_stand_where_their_times_put_them(tmp_path):
    table = pd.DataFrame(levels_of(0)[:6], columns=list(BANDS.columns))
    table.insert(0, "time", [0.0, 0.125, 0.5, 0.625, 0.75, 0.875])
    table.loc[4, "3"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    levels = read_levels(tmp_path / "a.csv", None, BANDS)
    missing = np.isnan(levels).all(axis=1)
    assert missing.tolist() == [False, False, True, True, False, False, True, False]
    np.testing.assert_array_equal(levels[~missing], table.iloc[[0, 1, 2, 3, 5], 1:].astype("f4"))
    table["time"] = [0.0, 0.125, 1e9, 1e9 + 0.125, 1e9 + 0.25, 1e9 + 0.375]
    table.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(A2vError, match=r"b.csv: its times go from 0 to 1e\+09 s with 6 rows"):
        read_levels(tmp_path / "b.csv", None, BANDS)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--downstream=spectrogram:/no/such"], "/no/such: does not exist"),
        (["--downstream=demo", "--labels=x"], "--labels=x: for --downstream=spectrogram:DIR"),
        (["--write_matrix=x.csv"], "--write_matrix='x.csv': expected a name ending in .npz"),
        (["--labels=x.csv"], "--labels=x.csv: cannot be read as CSV: [Errno 2]"),
        (["--model_dir=pretrained"], "takes audio; expected a model that was trained on spectro"),
    ],
)
def test_what_cannot_be_gets_one_line(flags, message, model_dir, corpus):
    defaults = [f"--model_dir={model_dir}", f"--downstream=spectrogram:{corpus}"]
    run = run_command("a2v_evaluate", *defaults, *flags, fails=True)
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_the_flag_says_how_many_files_may_be_bad(model_dir, corpus, tmp_path):
    """Not what training was allowed."""
    copy = tmp_path / "corpus"
    shutil.copytree(corpus, copy)
    (copy / "train" / "0.csv").write_text("no levels")
    flags = [f"--model={model_dir}", f"--audio=spectrogram:{copy}", f"--output={copy}/out.npz"]
    run = run_command("a2v_embed", *flags, fails=True)
    assert "1 of 2 files cannot be used, more than max_bad_fraction=0.1 allows" in run.stderr
    run = run_command("a2v_embed", *flags, "--max_bad_fraction=0.5", here=True)
    assert "embeddings of 3 files" in run.stdout


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,start,label"], "has no column 'end'; expected path,start,end,label"),
        (["path,start,end,label", "no.csv,0,1,a"], "'no.csv' is no CSV file of"),
        (["path,start,end,label", "test/3.csv,1000,1020"], "labels.csv line 2: has no label; exp"),
        (["path,start,end,label", "test/3.csv,,1020,a"], "labels.csv line 2: has no start; expect"),
        (["path,start,end,label", "test/3.csv,soon,1,a"], "'soon' is neither ISO 8601 nor seconds"),
        (["path,start,end,label", "test/3.csv,1000,1020,a"], "no row of a train file has room"),
        (
            [
                "path,start,end,label",
                *("test/3.csv,1000,1020,a", "train/0.csv,1000,1020,a", "train/1.csv,1000,1001,b"),
            ],
            "expected train files with at least two labels",
        ),
    ],
)
def test_labels_that_cannot_be_used_get_one_line(lines, message, model_dir, corpus, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines))
    opened = band_levels.open_corpus(str(model_dir), f"spectrogram:{corpus}")
    with pytest.raises(A2vError) as error:
        band_levels.labelled_windows(str(model_dir), opened, labels)
    assert message in str(error.value)
    assert "\n" not in str(error.value)

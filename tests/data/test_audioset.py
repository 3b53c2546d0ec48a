import csv
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds
from etils import epath

from a2v_tf.data.builders.audioset import audioset
from a2v_tf.data.labelled import open_labelled
from a2v_tf.data.sources import open_source

CLASSES = [(index, f"/m/{index:05d}", f"Class {index}, or so") for index in range(527)]

# Split -> rows of its CSV. The names cover what YouTube makes: leading '-' and '_', '_' inside.
SEGMENTS = {
    "balanced": [
        ("-aaaaaaaaaa", 30.0, 40.0, "/m/00003,/m/00001"),
        ("_bbbb_bbbbb", 0.0, 10.0, "/m/00526"),
        ("Ycccccccccc", 30.5, 40.5, "/m/00000"),
        ("missing0000", 30.0, 40.0, "/m/00000"),
        ("corrupt0000", 30.0, 40.0, "/m/00000"),
    ],
    "eval": [
        ("dddddddddd_", 30.0, 40.0, "/m/00004"),
        ("eeeeeeeeee0", 1.0, 2.0, "/m/00005"),
        ("ffffffffff0", 1.0, 2.0, "/m/00006"),
    ],
}

# File -> (seconds, rate). All tell their time: the sample at t seconds is about t / 100.
FILES = {
    "balanced/-aaaaaaaaaa.wav": (2.0, 16_000),
    "balanced/_bbbb_bbbbb_0.000.FLAC": (1.0, 44_100),
    "deep/er/YYcccccccccc_30500.ogg": (1.0, 16_000),
    "dddddddddd__30_40.wav": (1.0, 16_000),
    "eeeeeeeeee0.wav": (4.0, 16_000),  # the whole video
    "Yffffffffff0_1.0.wav": (4.0, 16_000),  # begins at the segment, and is too long
}


def _make(folder: pathlib.Path) -> pathlib.Path:
    """Write CSVs and clips as a user of AudioSet has them."""
    for name, (seconds, rate) in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = path.suffix[1:].upper()
        soundfile.write(path, np.arange(seconds * rate) / rate / 100, rate, format=kind)
    (folder / "corrupt0000.wav").write_text("not audio")
    with (folder / "class_labels_indices.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("index", "mid", "display_name"), *CLASSES])
    for split, rows in SEGMENTS.items():
        name = {"balanced": "balanced_train", "eval": "eval"}[split]
        lines = [f'{y}, {start:.3f}, {end:.3f}, "{mids}"' for y, start, end, mids in rows]
        head = ["# Segments csv created Sun Mar  5 10:54:31 2017", "# num_ytids=3", "# YTID, ..."]
        (folder / f"{name}_segments.csv").write_text("\n".join([*head, *lines, ""]))
    return folder


class AudiosetTest(tfds.testing.DatasetBuilderTestCase):
    """The checks that TFDS has for every builder."""

    DATASET_CLASS = audioset.Audioset
    SPLITS = {"balanced": 3, "eval": 3}  # noqa: RUF012  as TFDS wants it

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.EXAMPLE_DIR = str(_make(pathlib.Path(cls._folder.name)))
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._folder.cleanup()


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    """The data_dir of an AudioSet prepared by the command."""
    manual = _make(tmp_path_factory.mktemp("manual"))
    data_dir = tmp_path_factory.mktemp("data")
    run = _command(f"--manual_dir={manual}", f"--data_dir={data_dir}")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1].endswith("1.0.0: balanced 3, eval 3 clips")
    return data_dir


def _command(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "a2v_tf.data.builders", "--name=audioset", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def _examples(built: pathlib.Path, split: str) -> dict[str, dict]:
    dataset = tfds.load("audioset", data_dir=built, split=split)
    return {example["ytid"].decode(): example for example in tfds.as_numpy(dataset)}


def test_clips_are_found_under_all_names_and_cut_to_their_segments(built):
    examples = _examples(built, "balanced") | _examples(built, "eval")
    lengths = {ytid: len(example["audio"]) / 16_000 for ytid, example in examples.items()}
    assert lengths == {
        "-aaaaaaaaaa": 2,
        "_bbbb_bbbbb": 1,
        "Ycccccccccc": 1,
        "dddddddddd_": 1,
        "eeeeeeeeee0": 1,
        "ffffffffff0": 1,
    }
    for ytid, start in [("eeeeeeeeee0", 1.0), ("ffffffffff0", 0.0), ("_bbbb_bbbbb", 0.0)]:
        audio = examples[ytid]["audio"][100:-100] / 32_768 * 100
        expected = start + np.arange(100, 15_900) / 16_000
        np.testing.assert_allclose(audio, expected, rtol=0, atol=0.01)


def test_labels_and_metadata_survive(built):
    builder = tfds.builder("audioset", data_dir=built)
    names = builder.info.features["labels"].feature.names
    assert names == [name for _, _, name in CLASSES]
    assert builder.info.metadata["sample_rate"] == 16_000
    example = _examples(built, "balanced")["-aaaaaaaaaa"]
    assert example["labels"].tolist() == [3, 1]
    assert example["start"] == 30.0
    assert example["audio"].dtype == np.int16


def test_missing_and_corrupt_clips_are_listed(built):
    with next(built.glob("audioset/*/not_used_balanced.csv")).open() as file:
        rows = {row["ytid"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"missing0000", "corrupt0000"}
    assert rows["missing0000"]["reason"] == "not found"
    assert rows["missing0000"]["start_seconds"] == "30"
    assert rows["corrupt0000"]["reason"].startswith("corrupt0000.wav ")


def test_it_is_a_source(built, monkeypatch):
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=built))
    source = open_source("tfds:audioset:balanced+eval")
    assert source.describe() == "tfds:audioset:balanced+eval: 6 clips, about 0.00 hours, 0 skipped"
    crops = list(source.crops(8_000, seed=1, round_index=0).take(5).as_numpy_iterator())
    assert all(pcm.shape == (8_000,) and pcm.dtype == np.float32 for pcm, _ in crops)


def test_it_is_labelled_data(built, monkeypatch):
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=built))
    (data,) = open_labelled("audioset")
    assert data.multi_label
    assert len(data.classes) == 527
    labels = {clip.name: (clip.label, clip.split) for clip, _ in data.clips()}
    assert len(labels) == 6
    names = [name for _, _, name in CLASSES]
    wanted = {(f"{names[3]}|{names[1]}", "train"), (names[526], "train"), (names[5], "test")}
    assert wanted < set(labels.values())
    crops = data.crops(8_000, seed=1, round_index=0).take(6)
    hot = {tuple(np.flatnonzero(label)) for _, label in crops.as_numpy_iterator()}
    assert hot == {(1, 3), (526,), (0,)}


def test_what_is_wrong_with_the_folder_is_said(tmp_path):
    builder = tfds.builder("audioset", data_dir=tmp_path / "data")
    folder = tmp_path / "manual"

    def build() -> None:
        config = tfds.download.DownloadConfig(manual_dir=folder)
        builder.download_and_prepare(download_config=config)

    _make(folder)
    (folder / "class_labels_indices.csv").write_text("index,mid,display_name\n0,/m/00000,Speech\n")
    with pytest.raises(ValueError, match="has 1 classes, expected the indices 0-526"):
        build()
    _make(folder)
    (folder / "eval_segments.csv").write_text("dddddddddd_, 30\n")
    with pytest.raises(
        ValueError, match=r"eval_segments.csv: cannot read the line 'dddddddddd_,30"
    ):
        build()
    (folder / "eval_segments.csv").write_text('dddddddddd_, 30, 40, "/m/unknown"\n')
    with pytest.raises(ValueError, match=r"label '/m/unknown' is not in class_labels_indices.csv"):
        build()
    for name in ("balanced_train", "eval"):
        (folder / f"{name}_segments.csv").write_text('ggggggggggg, 30, 40, "/m/00000"\n')
    with pytest.raises(FileNotFoundError, match="no clip of any segment CSV found"):
        build()


@pytest.mark.parametrize("ending", ["", "_30", "_30.0", "_30.000", "_30000", "_30.000_40.000"])
@pytest.mark.parametrize("prefix", ["", "Y"])
def test_find_clip(tmp_path, prefix, ending):
    segment = audioset.Segment("_x-0000000_", 30.0, 40.0, ("/m/00000",))
    for name in (f"{prefix}{segment.ytid}{ending}", "_x-0000000_0", f"{segment.ytid}_20"):
        (tmp_path / f"{name}.WAV").touch()
    clips = audioset.find_clips(epath.Path(tmp_path))
    found = audioset.find_clip(clips, segment)
    assert pathlib.Path(found).name == f"{prefix}{segment.ytid}{ending}.WAV"

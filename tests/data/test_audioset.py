import csv
import dataclasses
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import types

import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from a2v_tf import beam
from a2v_tf.data.builders import __main__ as command
from a2v_tf.data.builders import base, shards
from a2v_tf.data.builders.audioset import audioset
from a2v_tf.data.labelled import open_labelled
from a2v_tf.data.sources import open_source
from a2v_tf.errors import A2vError, run_app
from tests.conftest import forgotten_flags

CLASSES = [(index, f"/m/{index:05d}", f"Class {index}, or so") for index in range(527)]

# Split -> rows of its CSV. YouTube's names may start with '-' or '_' and contain '_'.
SEGMENTS = {
    "balanced": [
        ("-aaaaaaaaaa", 30.0, 40.0, "/m/00003,/m/00001"),
        ("_bbbb_bbbbb", 0.0, 10.0, "/m/00526"),
        ("Ycccccccccc", 30.5, 40.5, "/m/00000"),
        ("missing0000", 30.0, 40.0, "/m/00000"),
        ("corrupt0000", 30.0, 40.0, "/m/00000"),
        ("tooshort000", 30.0, 40.0, "/m/00000"),
    ],
    "eval": [
        ("dddddddddd_", 30.0, 40.0, "/m/00004"),
        ("eeeeeeeeee0", 1.0, 2.0, "/m/00005"),
        ("ffffffffff0", 1.0, 2.0, "/m/00006"),
    ],
}

# File -> (seconds, rate). The sample at t seconds is about t / 100.
FILES = {
    "balanced/-aaaaaaaaaa.wav": (2.0, 16_000),
    "balanced/_bbbb_bbbbb_0.000.FLAC": (1.0, 44_100),
    "deep/er/YYcccccccccc_30500.ogg": (1.0, 16_000),
    "dddddddddd__30_40.wav": (1.0, 16_000),
    "eeeeeeeeee0.wav": (4.0, 16_000),  # the whole video
    "Yffffffffff0_1.0.wav": (4.0, 16_000),  # begins at the segment, and is too long
    "tooshort000.wav": (11.0, 16_000),  # a whole video that ends before the segment
}


def _make(folder: pathlib.Path) -> pathlib.Path:
    """Write CSVs and clips in the layout of AudioSet downloads."""
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
    """TFDS's own checks of a builder."""

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
    *table, last = run.stdout.splitlines()[-4:]
    assert [line.split() for line in table] == [
        ["clips", "used", "missing", "too", "short", "corrupt"],
        ["balanced", "3", "1", "1", "1"],
        ["eval", "3", "0", "0", "0"],
    ]
    assert last.endswith("1.0.0: balanced 3, eval 3 clips")
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


def test_labels_and_metadata_are_stored(built):
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
    assert set(rows) == {"missing0000", "corrupt0000", "tooshort000"}
    assert rows["tooshort000"]["reason"] == (
        "tooshort000.wav is too short: lasts 11.00 s, but its segment starts at 30 s"
    )
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


def test_errors_name_the_problem_with_the_folder(tmp_path):
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


# Shards ------------------------------------------------------------------------------------------

SHARDS = 5  # of a split: some have no clip that can be used


@pytest.fixture
def manual(tmp_path) -> pathlib.Path:
    return _make(tmp_path / "manual")


def _build(manual: pathlib.Path, data_dir: pathlib.Path, **config) -> tfds.core.DatasetBuilder:
    builder = audioset.Audioset(data_dir=data_dir)
    config = {"num_shards": SHARDS, "manual_dir": manual, **config}
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(**config))
    return builder


def _read(builder: tfds.core.DatasetBuilder) -> set[str]:
    """All examples of a split, in comparable form."""
    return {
        json.dumps([split, {k: np.asarray(v).tolist() for k, v in example.items()}], default=str)
        for split in builder.info.splits
        for example in tfds.as_numpy(builder.as_dataset(split=split))
    }


def _shard_files(folder: pathlib.Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of each shard, by name."""
    stats = [(path.name, path.stat()) for path in folder.rglob("*.tfrecord-*")]
    return {name: (x.st_ino, x.st_mtime_ns) for name, x in stats}


def _command_here(*flags: str, monkeypatch, capsys) -> tuple[int, str]:
    """Run the command in this process; return its exit code and output."""
    monkeypatch.setattr(sys, "argv", ["builders", *flags])
    with forgotten_flags(), pytest.raises(SystemExit) as exit:
        run_app(command.main, command.define_flags)
    return exit.value.code or 0, "".join(capsys.readouterr())


def test_the_number_of_shards_changes_no_example(manual, built, tmp_path):
    builder = _build(manual, tmp_path / "data")
    assert {split: x.num_shards for split, x in builder.info.splits.items()} == {
        "balanced": SHARDS,
        "eval": SHARDS,
    }
    assert 0 in builder.info.splits["balanced"].shard_lengths
    again = tfds.builder("audioset", data_dir=tmp_path / "data")
    assert len(_read(again)) == 6
    assert _read(again) == _read(tfds.builder("audioset", data_dir=built))
    assert not list((tmp_path / "data").rglob("*unfinished*"))
    assert not list((tmp_path / "data").rglob("*.json.*"))


def test_shards_do_not_depend_on_the_order_and_contain_every_clip_once():
    clips = [audioset.Clip(f"video{i}", 0.0, 10.0, [i], None) for i in range(2_345)]
    parts = audioset._in_shards(clips, None)
    assert [len(part) for part in parts] == [781, 782, 782]
    assert sorted(clip.labels[0] for part in parts for clip in part) == list(range(2_345))
    again = list(clips)
    random.Random(0).shuffle(again)
    assert audioset._in_shards(again, None) == parts
    found = [[dataclasses.replace(clip, path="x.wav") for clip in part] for part in parts]
    assert audioset._identity(found) == audioset._identity(parts)
    found[1][5] = dataclasses.replace(found[1][5], labels=[0, 1])
    changed = zip(audioset._identity(found), audioset._identity(parts), strict=True)
    assert [a == b for a, b in changed] == [True, False, True]


def test_a_restart_writes_only_unfinished_shards(manual, tmp_path, monkeypatch):
    load, decoded = audioset._load, []

    def failing(clip):
        decoded.append(clip.key)
        if clip.ytid == failing.at:
            raise OSError("the disk is gone")
        return load(clip)

    monkeypatch.setattr(audioset, "_load", failing)
    failing.at = "eeeeeeeeee0"
    with pytest.raises(OSError, match="the disk is gone"):
        _build(manual, tmp_path / "data")
    assert tfds.builder("audioset", data_dir=tmp_path / "data").is_prepared() is False
    before = _shard_files(tmp_path / "data")
    assert SHARDS <= len(before) < 2 * SHARDS  # eval comes last
    first, failing.at = set(decoded), None
    decoded.clear()
    builder = _build(manual, tmp_path / "data")
    after = _shard_files(tmp_path / "data")
    assert before.items() <= after.items()
    assert not (set(decoded) & first) - {"eeeeeeeeee0_1"}
    assert len(decoded) == len(set(decoded))
    assert _read(builder) == _read(_build(manual, tmp_path / "at_once"))
    assert base.count_unused(builder.data_path, "balanced") == dict.fromkeys(base.KINDS, 1)
    # A finished data set is not written again.
    decoded.clear()
    _build(manual, tmp_path / "data")
    assert not decoded
    assert _shard_files(tmp_path / "data") == after


def test_a_killed_run_keeps_finished_shards(manual, tmp_path):
    script = f"""
import os, signal, tensorflow_datasets as tfds
from a2v_tf.data.builders.audioset import audioset
load = audioset._load
def fatal(clip):
    if clip.ytid == "dddddddddd_":
        os.kill(os.getpid(), signal.SIGKILL)
    return load(clip)
audioset._load = fatal
config = tfds.download.DownloadConfig(manual_dir={str(manual)!r}, num_shards={SHARDS})
audioset.Audioset(data_dir={str(tmp_path / "data")!r}).download_and_prepare(download_config=config)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == -signal.SIGKILL, run.stderr
    before = _shard_files(tmp_path / "data")
    assert SHARDS <= len(before) < 2 * SHARDS
    builder = _build(manual, tmp_path / "data")
    after = _shard_files(tmp_path / "data")
    assert before.items() <= after.items()
    at_once = _build(manual, tmp_path / "at_once")
    assert _read(builder) == _read(at_once)
    names = [{path.name for path in x.data_path.iterdir()} for x in (builder, at_once)]
    assert names[0] == names[1]


def test_a_folder_started_with_another_plan_is_an_error(manual, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "make_all", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _build(manual, tmp_path / "data")
    with pytest.raises(
        ValueError, match=r"unfinished.1.0.0 was started with other clips or another"
    ):
        _build(manual, tmp_path / "data", num_shards=2)
    text = (manual / "eval_segments.csv").read_text().replace("/m/00004", "/m/00007")
    (manual / "eval_segments.csv").write_text(text)
    with pytest.raises(ValueError, match="finish it with those, or delete it"):
        _build(manual, tmp_path / "data")


def test_a_split_without_usable_clips_is_an_error(manual, tmp_path):
    (manual / "balanced_train_segments.csv").write_text('corrupt0000, 30, 40, "/m/00000"\n')
    with pytest.raises(ValueError, match=r"no clip of balanced can be used; corrupt0000.wav "):
        _build(manual, tmp_path / "data", num_shards=None)


def test_clips_may_be_on_another_file_system(manual):
    path, segment = manual / "eeeeeeeeee0.wav", audioset.Segment("eeeeeeeeee0", 1.0, 2.0, ())
    tf.io.gfile.makedirs("ram://clips")
    tf.io.gfile.copy(str(path), "ram://clips/eeeeeeeeee0.wav", overwrite=True)
    remote = audioset.load_segment("ram://clips/eeeeeeeeee0.wav", segment)
    np.testing.assert_array_equal(remote, audioset.load_segment(str(path), segment))
    assert len(remote) == 16_000


def test_beam_writes_the_same_examples_and_counts(manual, tmp_path, monkeypatch):
    pytest.importorskip("apache_beam")
    make_all, results = shards.make_all, []
    monkeypatch.setattr(shards, "make_all", lambda *x: results.append(make_all(*x)))
    here = _build(manual, tmp_path / "here")
    options = beam.pipeline_options(["runner=FnApiRunner"])
    beamed = _build(manual, tmp_path / "beam", beam_options=options)
    assert [x.shard_lengths for x in here.info.splits.values()] == [
        x.shard_lengths for x in beamed.info.splits.values()
    ]
    assert _read(here) == _read(beamed)
    assert results[0] is None
    counters = results[1].metrics().query()["counters"]
    found = {x.key.metric.name: x.committed for x in counters if x.key.metric.namespace == "clips"}
    assert found == {"used": 6, **dict.fromkeys(base.KINDS, 1)}


def test_the_command_passes_its_options_to_beam(manual, tmp_path, monkeypatch, capsys):
    pytest.importorskip("apache_beam")
    given = []

    def make_all(tasks, generate, features, config):
        given.append(config.beam_options.get_all_options(drop_default=True))
        for task in tasks:
            shards.make(task, generate, features)

    monkeypatch.setattr(shards, "make_all", make_all)
    code, said = _command_here(
        *("--name=audioset", f"--manual_dir={manual}", f"--data_dir={tmp_path}/data"),
        "--beam_pipeline_options=runner=FnApiRunner,direct_num_workers=3",
        monkeypatch=monkeypatch,
        capsys=capsys,
    )
    assert code == 0, said
    assert given == [{"runner": "FnApiRunner", "direct_num_workers": 3}]
    assert "balanced 3, eval 3 clips" in said


def test_a_failure_of_beam_is_one_line(manual, tmp_path, monkeypatch):
    class Failing:
        def __init__(self, *_):
            raise RuntimeError("Traceback...\n  File x\nValueError: no such runner")

    monkeypatch.setattr(beam, "import_beam", lambda: types.SimpleNamespace(Pipeline=Failing))
    with pytest.raises(
        A2vError, match=r"^Apache Beam: ValueError: no such runner; run the command"
    ):
        _build(manual, tmp_path / "data", beam_runner="NoSuchRunner")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--name=audioset"],
            "error: Apache Beam is not installed: it comes with the extra [beam]",
        ),
        (["--name=musan"], "--beam_pipeline_options is for --name=audioset only"),
    ],
)
def test_missing_or_misplaced_beam_is_one_line(monkeypatch, capsys, flags, message):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    flags = [*flags, "--beam_pipeline_options=runner=FnApiRunner"]
    code, said = _command_here(*flags, monkeypatch=monkeypatch, capsys=capsys)
    assert code == 1
    assert message in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_beam_with_several_processes(manual, tmp_path):
    pytest.importorskip("apache_beam")
    options = "runner=FnApiRunner,direct_num_workers=2,direct_running_mode=multi_processing"
    run = _command(
        *(f"--manual_dir={manual}", f"--data_dir={tmp_path}/data"),
        f"--beam_pipeline_options={options}",
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    beamed = tfds.builder("audioset", data_dir=tmp_path / "data")
    assert _read(beamed) == _read(_build(manual, tmp_path / "here", num_shards=None))

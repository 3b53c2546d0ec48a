"""Labelled data from CSV files, TFDS and plug-ins: common tests, then those of each kind."""

import json
import os
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds

from a2v_tf.data import demo
from a2v_tf.data.builders import BUILDERS
from a2v_tf.data.labelled import Clip, LabelledData, open_labelled
from a2v_tf.data.sources import one_line_errors
from a2v_tf.errors import A2vError

CLASSES = ("high", "low", "mid")
NEEDED = 160
SHORT = 100

Write = Callable[[list[tuple[str, str, np.ndarray]]], LabelledData]


def level(number: int, samples: int = 400) -> np.ndarray:
    """A clip whose samples are all `number + 1`."""
    return np.full(samples, number + 1, np.int16)


def ramp(samples: int) -> np.ndarray:
    """A clip whose sample k is k + 1, which identifies a crop's start."""
    return np.arange(1, samples + 1, dtype=np.int16)


def plan(train: int = 12) -> list[tuple[str, str, np.ndarray]]:
    """(label, split, PCM): train clips, one of them short, and two of each other split."""
    lengths = [SHORT if i == 0 else 400 + 10 * i for i in range(train)]
    rows = [(CLASSES[i % 3], "train", level(i, length)) for i, length in enumerate(lengths)]
    others = [(CLASSES[i % 3], ("val", "test")[i % 2], level(train + i)) for i in range(4)]
    return rows + others


@pytest.fixture
def write_csv(tmp_path: pathlib.Path) -> Write:
    def write(rows):
        lines = ["path,label,split"]
        for i, (label, split, pcm) in enumerate(rows):
            soundfile.write(tmp_path / f"{i}.wav", pcm, 16_000, subtype=_subtype(pcm))
            lines.append(f"{i}.wav,{label},{split}")
        (tmp_path / "tones.csv").write_text("\n".join(lines) + "\n")
        return open_labelled(f"csv:{tmp_path / 'tones.csv'}")[0]

    return write


def _subtype(pcm: np.ndarray) -> str:
    return "PCM_16" if pcm.dtype == np.int16 else "FLOAT"


@pytest.fixture
def data_dir(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Set TFDS's data_dir; TFDS reads TFDS_DATA_DIR only once, when it is imported."""
    builder = tfds.builder
    monkeypatch.setattr(tfds, "builder", lambda name: builder(name, data_dir=tmp_path))
    return tmp_path


def pcm_feature(dtype=np.int16) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding="bytes")


def store(data_dir, name: str, splits: dict[str, list[dict]], label, audio=None) -> None:
    """Prepare a TFDS data set of the given examples, in two shards per split if possible."""
    (label_name,) = next(iter(splits.values()))[0].keys() - {"audio"}
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict({"audio": audio or pcm_feature(), label_name: label}),
        split_datasets={split: list(enumerate(clips)) for split, clips in splits.items()},
        data_dir=data_dir,
        download_config=tfds.download.DownloadConfig(
            num_shards=min([2, *map(len, splits.values())])
        ),
    )


@pytest.fixture
def write_tfds(data_dir: pathlib.Path) -> Write:
    def write(rows):
        names = {"train": "train", "val": "validation", "test": "test"}
        splits: dict[str, list[dict]] = {}
        for label, split, pcm in rows:
            splits.setdefault(names[split], []).append({"audio": pcm, "label": label})
        label = tfds.features.ClassLabel(names=CLASSES)
        store(data_dir, "tones", splits, label, pcm_feature(rows[0][2].dtype.type))
        return open_labelled("tfds:tones")[0]

    return write


@pytest.fixture(params=["csv", "tfds"])
def write(request: pytest.FixtureRequest) -> Write:
    return request.getfixturevalue(f"write_{request.param}")


def take(data, count, samples=NEEDED, seed=1, round_index=0, **limits):
    crops = data.crops(samples, seed=seed, round_index=round_index, **limits)
    return list(crops.take(count).as_numpy_iterator())


def number(pcm: np.ndarray) -> int:
    """The number of the `level` clip that a crop is from."""
    return round(float(pcm[0]) * 32_768) - 1


# --- CSV and TFDS ---------------------------------------------------------------------------------


def test_every_clip_is_read_with_its_label_and_split(write):
    rows = plan()
    data = write(rows)
    assert data.name == "tones"
    assert data.classes == CLASSES
    assert not data.multi_label
    found = {number(pcm): (clip, pcm) for clip, pcm in data.clips()}
    assert len(found) == len(rows) == len({clip.name for clip, _ in found.values()})
    for i, (label, split, pcm) in enumerate(rows):
        clip, read = found[i]
        assert (clip.label, clip.split) == (label, split)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read * 32_768, pcm)
    again = [clip for clip, _ in data.clips()]
    assert again == [clip for clip, _ in data.clips()]


def test_crops_are_of_train_clips_and_have_their_labels(write):
    data = write(plan())
    assert data.crops(NEEDED, seed=1, round_index=0).element_spec == (
        tf.TensorSpec([NEEDED], tf.float32),
        tf.TensorSpec([], tf.int32),
    )
    for pcm, label in take(data, 36):
        i = number(pcm)
        assert i < 12
        assert label == i % 3
        length = SHORT if i == 0 else NEEDED
        np.testing.assert_array_equal(pcm[:length] * 32_768, i + 1)
        np.testing.assert_array_equal(pcm[length:], 0)


def test_each_clip_is_drawn_once_an_epoch_in_another_order(write):
    numbers = [number(pcm) for pcm, _ in take(write(plan()), 48)]
    epochs = [numbers[i : i + 12] for i in range(0, 48, 12)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_clips_are_drawn_uniformly_over_rounds(write):
    """The first crops of many rounds: short rounds prefer no clip."""
    data = write(plan())
    rounds = tf.data.Dataset.range(150).flat_map(
        lambda index: data.crops(NEEDED, seed=5, round_index=index).take(4)
    )
    numbers = [number(pcm) for pcm, _ in rounds.as_numpy_iterator()]
    counts = np.bincount(numbers, minlength=12)
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_places_are_uniform(write):
    rows = [(CLASSES[i % 2], "train", ramp(NEEDED + 9)) for i in range(30)]
    data = write([*rows, ("low", "test", ramp(400))])
    starts = [number(pcm) for pcm, _ in take(data, 600)]
    counts = np.bincount(starts, minlength=10)
    assert len(counts) == 10
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_a_stream_depends_only_on_seed_and_round(write):
    data = write(plan())

    def stream(**keys) -> bytes:
        return b"".join(pcm.tobytes() for pcm, _ in take(data, 30, **keys))

    first = stream(seed=3, round_index=2)
    tf.random.set_seed(99)
    assert first == stream(seed=3, round_index=2)
    assert first == stream(seed=3, round_index=tf.constant(2, tf.int64))
    assert len({first, stream(seed=4, round_index=2), stream(seed=3, round_index=3)}) == 3
    in_graph = tf.data.Dataset.range(2, 4).flat_map(
        lambda index: data.crops(NEEDED, seed=3, round_index=index).take(30)
    )
    assert first == b"".join(pcm.tobytes() for pcm, _ in in_graph.take(30).as_numpy_iterator())


@pytest.mark.parametrize("per_class", [1, 2])
def test_some_clips_of_each_class(write, per_class):
    data = write(plan())

    def drawn(seed: int) -> frozenset[int]:
        crops = take(data, 12, seed=seed, per_class=per_class)
        assert all(label == number(pcm) % 3 for pcm, label in crops)
        return frozenset(number(pcm) for pcm, _ in crops)

    chosen = drawn(1)
    assert np.bincount([i % 3 for i in chosen]).tolist() == [per_class] * 3
    assert chosen == drawn(1)
    assert len({drawn(seed) for seed in range(4)}) > 1
    rounds = tf.data.Dataset.range(2).flat_map(
        lambda index: data.crops(NEEDED, seed=1, round_index=index, per_class=per_class).take(9)
    )
    assert {number(pcm) for pcm, _ in rounds.as_numpy_iterator()} == chosen


def test_some_clips_of_all_classes_together(write):
    """The other reading of SPL's "1000 training examples": they are drawn without their classes."""
    data = write(plan())
    chosen = {
        seed: frozenset(number(pcm) for pcm, _ in take(data, 12, seed=seed, total=3))
        for seed in range(5)
    }
    assert {len(clips) for clips in chosen.values()} == {3}
    assert len(set(chosen.values())) > 1
    spread = {tuple(np.bincount([i % 3 for i in clips], minlength=3)) for clips in chosen.values()}
    assert spread != {(1, 1, 1)}


def test_silent_clips_are_used(write):
    rows = [("low", "train", np.zeros(400, np.int16)), ("high", "train", level(1))]
    data = write([*rows, ("low", "test", level(2))])
    assert len(list(data.clips())) == 3
    assert {number(pcm) for pcm, _ in take(data, 4)} == {-1, 1}


def as_float(rows):
    return [(label, split, (pcm / 32_768).astype(np.float32)) for label, split, pcm in rows]


def test_bad_clips_are_skipped_and_counted(write, caplog):
    rows = as_float(plan())
    rows[5] = (*rows[5][:2], np.full(400, np.nan, np.float32))
    data = write(rows)
    assert {number(pcm) for pcm, _ in take(data, 30)} == set(range(12)) - {5}
    assert len(data.bad) == 1
    assert sorted(number(pcm) for _, pcm in data.clips()) == [i for i in range(16) if i != 5]
    assert "has NaN or infinite samples" in caplog.text
    with pytest.raises(A2vError, match=r"^1 of 16 clips of tones cannot be used.*0\.05") as error:
        list(data.clips(max_bad_fraction=0.05))
    assert "\n" not in str(error.value)


def test_too_many_bad_clips_stop_the_crops_with_one_line(write):
    rows = [(*row[:2], np.full(400, np.inf, np.float32)) for row in plan()[:3]] + as_float(plan())
    data = write(rows)
    with pytest.raises(A2vError, match=r"of 15 train clips of tones cannot be used"):  # noqa: SIM117
        with one_line_errors(data):
            take(data, 60)


def test_the_fingerprint_changes_with_the_data(write, tmp_path):
    data = write(plan())
    before = data.fingerprint()
    assert before == data.fingerprint()
    assert before == open_labelled(_spec(tmp_path))[0].fingerprint()


def _spec(folder: pathlib.Path) -> str:
    path = folder / "tones.csv"
    return f"csv:{path}" if path.exists() else "tfds:tones"


# --- CSV ------------------------------------------------------------------------------------------


def test_csv_fingerprints(write_csv, tmp_path):
    seen = {write_csv(plan()).fingerprint()}
    path = tmp_path / "tones.csv"
    text = path.read_text()
    for old, new in [("3.wav,high", "3.wav,low"), ("3.wav,high,train", "3.wav,high,val")]:
        path.write_text(text.replace(old, new))
        seen.add(open_labelled(f"csv:{path}")[0].fingerprint())
    path.write_text(text)
    soundfile.write(tmp_path / "3.wav", level(3, 401), 16_000)
    seen.add(open_labelled(f"csv:{path}")[0].fingerprint())
    (tmp_path / "3.wav").unlink()
    seen.add(open_labelled(f"csv:{path}")[0].fingerprint())
    assert len(seen) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label,split\n", "no column path"),
        ("path,label,split\na.wav,x,train\nb.wav,y,dev\n", "line 3: split 'dev'"),
        ("path,label,split\na.wav,,train\n", "line 2: no label"),
        ("path,label,split\na.wav,x,train\nb.wav,y,train\n", "no test clips"),
        ("path,label,split\na.wav,x,train\nb.wav,x,test\n", "one class"),
        (
            "path,label,split\na.wav,x,train\nb.wav,y,train\na.wav,x,test\n",
            "is in both train and test",
        ),
        ("path,label,split\na.wav,x,train\n./a.wav,y,train\n", "a.wav is labelled both x and y"),
        ("path,label,split\na\0.wav,x,train\n", "NUL|line 2: path .* is not text"),
    ],
)
def test_bad_csvs(text, message, tmp_path):
    path = tmp_path / "task.csv"
    path.write_text(text)
    with pytest.raises(A2vError, match=message) as error:
        open_labelled(f"csv:{path}")
    assert "task.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_training_needs_no_test_clips(tmp_path):
    path = tmp_path / "task.csv"
    path.write_text("path,label,split\na.wav,x,train\nb.wav,y,train\n")
    (data,) = open_labelled(f"csv:{path}", needs=("train",))
    assert data.classes == ("x", "y")


def test_missing_files_are_counted(write_csv, tmp_path):
    data = write_csv(plan())
    (tmp_path / "7.wav").unlink()
    assert len(list(data.clips())) == 15
    with pytest.raises(A2vError, match=r"1 of 16 clips.*7\.wav: does not exist"):
        list(data.clips(0.05))
    for missing in (1, 4, 5):
        (tmp_path / f"{missing}.wav").unlink()
    with pytest.raises(A2vError, match=r"^4 of 16 clips of tones cannot be used"):
        list(data.clips(0.1))
    message = r"^\d of \d+ train clips of tones .*1\.wav: does not exist"
    with pytest.raises(A2vError, match=message):  # noqa: SIM117
        with one_line_errors(data):
            take(data, 60)


def test_names_in_a_csv_need_not_be_utf_8(write_csv, tmp_path):
    data = write_csv(plan())
    os.rename(tmp_path / "3.wav", os.fsencode(tmp_path) + b"/caf\xe9.wav")
    table = (tmp_path / "tones.csv").read_bytes()
    (tmp_path / "tones.csv").write_bytes(table.replace(b"\n3.wav", b"\ncaf\xe9.wav"))
    (data,) = open_labelled(f"csv:{tmp_path / 'tones.csv'}")
    assert len(list(data.clips(0.0))) == 16


def test_a_file_counts_once(write_csv, tmp_path, caplog):
    before = len(list(write_csv(plan()).clips()))
    path = tmp_path / "tones.csv"
    path.write_text(path.read_text() + "./3.wav,high,train\n3.wav,high,train\n")
    (data,) = open_labelled(f"csv:{path}")
    assert len(list(data.clips())) == before
    assert "2 rows repeat a file and count once, the first: " in caplog.text
    assert "/3.wav" in caplog.text


def test_other_rates_are_resampled(tmp_path):
    t = np.arange(48_000) / 48_000
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * 1_000 * t), 48_000)
    path = tmp_path / "task.csv"
    path.write_text("path,label,split\na.wav,x,train\nb.wav,y,train\n")
    (data,) = open_labelled(f"csv:{path}", needs=("train",))
    for pcm, _ in take(data, 4, samples=1_600):
        assert np.argmax(np.abs(np.fft.rfft(pcm))) == 100
    assert [len(pcm) for _, pcm in data.clips()] == [16_000, 16_000]


# --- TFDS -----------------------------------------------------------------------------------------


def test_several_labels_per_clip(data_dir):
    labels = tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b", "c"]))
    sets = [[0], [1, 2], [], [0, 2], [2]]
    clips = [{"audio": level(i), "labels": found} for i, found in enumerate(sets)]
    splits = {"balanced": clips[:1], "unbalanced": clips[1:], "eval": clips[:2]}
    store(data_dir, "events", splits, labels)
    (data,) = open_labelled("tfds:events")
    assert data.multi_label
    assert data.classes == ("a", "b", "c")
    found = {(clip.split, number(pcm)): clip.label for clip, pcm in data.clips()}
    texts = ["a", "b|c", "", "a|c", "c"]
    assert found == {("train", i): text for i, text in enumerate(texts)} | {
        ("test", 0): "a",
        ("test", 1): "b|c",
    }
    for pcm, label in take(data, 10):
        expected = np.zeros(3, np.float32)
        expected[sets[number(pcm)]] = 1
        assert label.dtype == np.float32
        np.testing.assert_array_equal(label, expected)
    chosen = {number(pcm) for pcm, _ in take(data, 10, per_class=1)}
    assert 2 not in chosen
    assert {label for i in chosen for label in sets[i]} == {0, 1, 2}
    assert len(chosen) <= 3


def test_stereo_at_another_rate(data_dir):
    t = np.arange(24_000) / 24_000
    pcm = (8_000 * np.sin(2 * np.pi * 1_000 * t)).astype(np.int16)
    clips = [{"audio": np.stack([pcm, pcm], axis=1), "label": label} for label in (0, 1)]
    label = tfds.features.ClassLabel(num_classes=2)
    audio = tfds.features.Audio(shape=(None, 2), dtype=np.int16, sample_rate=24_000)
    store(data_dir, "stereo", {"train": clips, "test": clips}, label, audio)
    (data,) = open_labelled("tfds:stereo")
    assert data.classes == ("0", "1")
    for crop, _ in take(data, 4, samples=1_600):
        assert np.argmax(np.abs(np.fft.rfft(crop))) == 100
    assert [len(pcm) for _, pcm in data.clips()] == [16_000] * 4


def test_clips_without_a_label_are_skipped(data_dir):
    clips = [{"audio": level(i), "label": i % 2} for i in range(12)]
    clips[3]["label"] = -1
    label = tfds.features.ClassLabel(num_classes=2)
    store(data_dir, "gaps", {"train": clips, "test": clips[:2]}, label)
    (data,) = open_labelled("tfds:gaps")
    assert 3 not in {number(pcm) for pcm, _ in take(data, 30)}
    assert 3 not in {number(pcm) for _, pcm in data.clips()}


@pytest.mark.parametrize("change", [lambda x: x[:-20], lambda x: b""], ids=["cut", "empty"])
def test_a_damaged_file_of_tfds_is_one_line(data_dir, change):
    clips = [{"audio": level(i), "label": i % 2} for i in range(3)]
    store(
        data_dir, "clips", {"train": clips, "test": clips}, tfds.features.ClassLabel(num_classes=2)
    )
    (data,) = open_labelled("tfds:clips")
    for split in ("train", "test"):
        path = next((data_dir / "clips" / "1.0.0").glob(f"*-{split}.tfrecord-00001-*"))
        whole = path.read_bytes()
        path.write_bytes(change(whole))
        with pytest.raises(A2vError, match=r"data=tfds:clips: cannot be read: .*is a file damaged"):
            list(data.clips())
        path.write_bytes(whole)
    assert len(list(data.clips())) == 6


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_damaged_metadata_of_tfds_is_one_line(data_dir, name):
    clips = [{"audio": level(i), "label": i % 2} for i in range(2)]
    store(
        data_dir, "clips", {"train": clips, "test": clips}, tfds.features.ClassLabel(num_classes=2)
    )
    path = data_dir / "clips" / "1.0.0" / name
    whole = path.read_text()
    for changed in (whole[:-9], whole.replace('"', "", 1), whole.replace('"1.0.0"', "3")):
        path.write_text(changed)
        if changed != whole:
            with pytest.raises(A2vError, match=r"^data=tfds:clips: "):
                open_labelled("tfds:clips")


def test_specs_that_cannot_be_used(data_dir, tmp_path):
    label = tfds.features.ClassLabel(num_classes=2)
    clips = [{"audio": level(i), "label": i % 2} for i in range(3)]
    store(data_dir, "untested", {"train": clips}, label)
    number_label = tfds.features.Scalar(np.int64)
    store(data_dir, "numbers", {"train": clips, "test": clips}, number_label)
    for spec, message in [
        (
            "speech",
            "labelled data 'speech': expected one of demo, csv:PATH, tfds:NAME, MODULE:NAME, aud",
        ),
        ("csv:/no/such.csv", "cannot read /no/such.csv: No such file"),
        ("", "labelled data '': expected one of"),
        ("musan", "data=musan: nothing prepared in .*`python -m a2v_tf.data.builders --name=musan"),
        ("nsynth_pitch", "data=nsynth_pitch: nothing prepared in .*--name=nsynth"),
        ("tfds:there_is_none", "data=tfds:there_is_none: TFDS knows no data set"),
        ("tfds:untested", "data=tfds:untested: no test split; there are train"),
        ("tfds:numbers", "data=tfds:numbers: has no feature label .* it has audio, label"),
        ("tfds:untested,tfds:untested", "no test split"),
    ]:
        with pytest.raises(A2vError, match=message) as error:
            open_labelled(spec)
        assert "\n" not in str(error.value)
    (data,) = open_labelled("tfds:untested", needs=("train",))
    assert len(list(data.clips())) == 3
    with pytest.raises(A2vError, match="two labelled data sets are named 'untested'"):
        open_labelled("tfds:untested,tfds:untested", needs=("train",))


def test_our_own_data_sets(data_dir, tmp_path):
    notes = {"nsynth-train": ("bass_1", "reed_2"), "nsynth-test": ("bass_3", "reed_4")}
    for folder, names in notes.items():
        entries = {}
        for i, name in enumerate(names):
            path = tmp_path / "manual" / folder / "audio" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, level(int(name[-1])), 16_000, subtype="PCM_16")
            entries[name] = {"pitch": 60 + i, "instrument_family_str": name[:4]}
        (path.parent.parent / "examples.json").write_text(json.dumps(entries))
    config = tfds.download.DownloadConfig(manual_dir=tmp_path / "manual")
    BUILDERS["nsynth"](data_dir=data_dir).download_and_prepare(download_config=config)
    family, pitch = open_labelled("nsynth")
    assert [family.name, pitch.name] == ["nsynth_family", "nsynth_pitch"]
    assert [len(family.classes), len(pitch.classes)] == [11, 128]
    assert family.fingerprint() != pitch.fingerprint()
    (again,) = open_labelled("nsynth_pitch")
    assert again.fingerprint() == pitch.fingerprint()
    assert sorted((clip for clip, _ in pitch.clips()), key=lambda clip: clip.name) == [
        Clip("bass_1", "60", "train"),
        Clip("bass_3", "60", "test"),
        Clip("reed_2", "61", "train"),
        Clip("reed_4", "61", "test"),
    ]
    labels = {number(pcm): family.classes[label] for pcm, label in take(family, 8)}
    assert labels == {1: "bass", 2: "reed"}


def test_demo(tmp_path, monkeypatch):
    for task in demo.TASKS:
        (tmp_path / f"{task}.csv").write_text("path,label,split\na,x,train\nb,y,train\nc,x,test\n")
    monkeypatch.setattr(demo, "ensure", lambda: tmp_path)
    assert [data.name for data in open_labelled("demo")] == list(demo.TASKS)


# --- Plug-ins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DATA", "make"])
def test_labelled_data_of_another_package(write_csv, tmp_path, monkeypatch, name):
    """An object, or a function that returns one, together with a CSV data set."""
    (tmp_path / "birds.py").write_text(BIRDS)
    monkeypatch.syspath_prepend(tmp_path)
    tones = write_csv(plan())
    data, other = open_labelled(f"birds:{name}, csv:{tmp_path / 'tones.csv'}")
    assert (data.name, data.classes) == ("birds", ("robin", "wren"))
    assert [(clip.label, clip.split) for clip, _ in data.clips()] == [("wren", "train")]
    assert other.fingerprint() == tones.fingerprint()
    for bad, message in [
        ("Half", r"^data=birds:Half: a Half; expected a LabelledData$"),
        ("NONE", r"^data=birds:NONE: birds has no 'NONE'$"),
    ]:
        with pytest.raises(A2vError, match=message):
            open_labelled(f"birds:{bad}")


BIRDS = """
import numpy as np
import tensorflow as tf

from a2v_tf.audio.bad_files import BadFiles
from a2v_tf.data.labelled import MAX_BAD_FRACTION, Clip


class Birds:
    name = "birds"
    classes = ("robin", "wren")
    multi_label = False

    def __init__(self):
        self.bad = BadFiles(MAX_BAD_FRACTION)

    def clips(self, max_bad_fraction=MAX_BAD_FRACTION):
        yield Clip("a", "wren", "train"), np.ones(400, np.float32)

    def fingerprint(self):
        return "1"

    def crops(self, samples, *, seed, round_index, per_class=None, share=None):
        return tf.data.Dataset.from_tensors((tf.ones([samples]), tf.constant(1))).repeat()


class Half:
    name = "half"


def make():
    return Birds()


DATA = make()
"""

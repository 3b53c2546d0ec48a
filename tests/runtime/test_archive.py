"""Archives: finished parts are kept, and every way to an output gives the same bytes."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import soundfile

from a2v_tf import beam
from a2v_tf.ending import Interrupted
from a2v_tf.errors import A2vError
from a2v_tf.files import held
from a2v_tf.runtime import archive, clips, tables
from a2v_tf.runtime.archive import Recipe, embed_archive
from a2v_tf.runtime.clips import ClipEmbeddings, EmbedClip, embed_files
from a2v_tf.runtime.tables import Table, write_tables

OUTPUTS = ("out.npz", "out.csv", "out.parquet", "out")  # the last is a folder of shards


@pytest.fixture(autouse=True, scope="module")
def small_parts():
    """Parts of two files, tables of a few rows, and row groups of a few more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "_FILES", 2)
        patch.setattr(clips, "_TOGETHER", 3)
        patch.setattr(tables, "_ROW_GROUP", 5)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Nine files with one to five rows, in five parts; the second part cannot be read."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for i in range(9):
        pcm = 0.1 * rng.standard_normal(1_000 * (1 + i % 5))
        soundfile.write(folder / f"{i}{'é' * i}.wav", pcm, 16_000)
    for i in (2, 3):
        (folder / f"{i}{'é' * i}.wav").write_bytes(b"not audio")
    return sorted(folder.iterdir())


@EmbedClip
def embed(blocks):
    """A row of eight values for each thousand samples."""
    pcm = np.concatenate(list(blocks)).reshape(-1, 1_000)
    starts = 1_000 * np.arange(len(pcm))
    return ClipEmbeddings(starts, starts + 1_000, pcm[:, :8])


def model():
    return embed


class Counting:
    """A model that counts the clips that it is given, and fails at one of them."""

    def __init__(self, fails_at=None, error=RuntimeError):
        self.fails_at, self.error, self.clips = fails_at, error, 0

    def __call__(self):
        return EmbedClip(self._embed)

    def _embed(self, blocks):
        if self.clips == self.fails_at:
            raise self.error
        self.clips += 1
        return embed(blocks)


def run(files, output, open_model=model, *, bad=0.5, settings=(), **options):
    archive._here.__dict__.clear()  # the model of another test
    recipe = Recipe(open_model, "mix", {"model": "digest", "hop_ms": None, **dict(settings)})
    return embed_archive(files, recipe, output, bad, sharded=not output.suffix, **options)


def content(output):
    """The bytes of an output, beside which there is nothing else."""
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    paths = sorted(output.iterdir()) if output.is_dir() else [output]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """The bytes of each output after one call."""
    folder = tmp_path_factory.mktemp("whole")
    found = {}
    for name in OUTPUTS:
        (folder / name[-3:]).mkdir()
        run(files, folder / name[-3:] / name)
        found[name] = content(folder / name[-3:] / name)
    return found


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_hold_what_embed_files_gives(files, tmp_path, name, caplog):
    summary = run(files, tmp_path / name)
    want = embed_files(files, embed, 0.5)
    assert (summary.files, summary.embeddings) == (9, len(want)) == (9, 1 + 2 + 5 + 1 + 2 + 3 + 4)
    assert [line.split("/")[-1].split(":")[0] for line in summary.skipped] == [
        "2éé.wav",
        "3ééé.wav",
    ]
    assert all(f"skipped {line}" in caplog.text for line in summary.skipped)
    if name == "out.npz":
        found = dict(np.load(tmp_path / name))
        assert found["path"].dtype == want.path.dtype
    else:
        table = pd.read_csv if name == "out.csv" else pd.read_parquet
        frame = table(tmp_path / name)
        values = frame.drop(columns=["path", "start_s", "end_s"])
        assert list(values) == [f"e{i}" for i in range(8)]
        found = {**frame, "embeddings": values.to_numpy(np.float32)}
    for key, column in vars(want).items():
        np.testing.assert_array_equal(found[key], column)


def test_a_folder_says_how_it_was_made(whole):
    about = json.loads(whole["out"]["_about.json"])
    assert about["settings"].items() >= {"model": "digest", "hop_ms": None}.items()
    assert (about["files"], about["embeddings"], len(about["skipped"])) == (9, 18, 2)
    # The second part has no rows, and so no shard.
    shards = [f"embeddings-{i:05d}-of-00005.parquet" for i in (0, 2, 3, 4)]
    assert sorted(whole["out"]) == ["_about.json", *shards]


def test_files_do_not_depend_on_the_parts(files, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "_FILES", 256)
    for name in OUTPUTS[:3]:
        run(files, tmp_path / name)
        assert {name: (tmp_path / name).read_bytes()} == whole[name]


def test_parts_end_with_many_bytes(files, monkeypatch):
    sizes = [path.stat().st_size for path in files]
    monkeypatch.setattr(archive, "_FILES", 256)
    monkeypatch.setattr(archive, "_BYTES", sizes[0] + 1)
    assert [len(part) for part in archive._planned(files)][:2] == [2, 3]


def test_npz_is_what_numpy_writes(tmp_path):
    rng = np.random.default_rng(0)
    names = np.array(["a", "bcd"])
    parts = [Table(names[:1], *rng.random((2, 1)), rng.random((1, 3), np.float32))]
    parts.append(Table(names[1:], *rng.random((2, 1)), rng.random((1, 3), np.float32)))
    write_tables(tmp_path / "ours.npz", parts)
    np.savez_compressed(tmp_path / "theirs.npz", **vars(tables.joined_tables(parts)))
    assert (tmp_path / "ours.npz").read_bytes() == (tmp_path / "theirs.npz").read_bytes()


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("fails_at", [2, 4, 6])
def test_a_failure_loses_the_part_it_happens_in(files, whole, tmp_path, name, fails_at):
    with pytest.raises(RuntimeError):
        run(files, tmp_path / name, Counting(fails_at))
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.unfinished"]
    again = Counting()
    run(files, tmp_path / name, again)
    assert again.clips == 9 - fails_at
    assert content(tmp_path / name) == whole[name]


def test_nothing_stays_of_a_failure_before_any_rows(files, tmp_path):
    for some in (files, files[:2], files[2:4]):
        with pytest.raises((RuntimeError, A2vError)):
            run(some, tmp_path / "out.npz", Counting(0))
        assert not list(tmp_path.iterdir())


def test_an_old_file_stays_until_the_new_one_is_complete(files, tmp_path):
    output = tmp_path / "out.npz"
    output.write_text("old")
    with pytest.raises(RuntimeError):
        run(files, output, Counting(4))
    assert output.read_text() == "old"
    run(files, output)
    assert len(np.load(output)["path"]) == 18


def test_other_settings_or_files_are_refused(files, tmp_path):
    output = tmp_path / "out.npz"
    with pytest.raises(RuntimeError):
        run(files, output, Counting(4))
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    begun = r"^'.*/out\.npz\.unfinished' was begun with another "
    for other, settings, message in (
        (files, {"hop_ms": 100.0}, r"--hop_ms: expected the same, or that you delete it$"),
        (files[:-1], {}, "--audio: "),
        (files[:1], {"model": "other"}, "--model and another --audio: "),
    ):
        with pytest.raises(A2vError, match=begun + message):
            run(other, output, settings=settings)
    before = files[0].stat()
    os.utime(files[0], (1, 1))
    with pytest.raises(A2vError, match=f"{begun}--audio: "):
        run(files, output)
    os.utime(files[0], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_shards_replace_nothing(files, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    first = run(files, output)  # an empty folder is as none
    counting = Counting()
    assert vars(run(files, output, counting)) == vars(first)
    assert counting.clips == 0
    with pytest.raises(A2vError, match=r"out/ was made with another --hop_ms: expected a new fold"):
        run(files, output, settings={"hop_ms": 1.0})
    with pytest.raises(
        A2vError, match=r"2 of 9 files cannot be used; more than --max_bad_fraction"
    ):
        run(files, output, bad=0.1)
    (output / "_about.json").unlink()
    with pytest.raises(A2vError, match=r"out/ exists: expected a new folder"):
        run(files, output)


def test_a_folder_of_others_stays(files, tmp_path):
    theirs = tmp_path / "out.npz.unfinished"
    theirs.mkdir()
    (theirs / "letter.txt").write_text("mine")
    with pytest.raises(A2vError, match=r"out.npz.unfinished' exists: expected another --output"):
        run(files, tmp_path / "out.npz")
    assert (theirs / "letter.txt").read_text() == "mine"


def test_one_process_writes_an_output(files, tmp_path):
    unfinished = tmp_path / "out.npz.unfinished"
    unfinished.mkdir()
    with held(unfinished, "taken"), pytest.raises(A2vError, match="another a2v_embed writes"):
        run(files, tmp_path / "out.npz")
    run(files, tmp_path / "out.npz")


def test_too_many_bad_files_end_it_early(files, tmp_path):
    counting = Counting()
    with pytest.raises(
        A2vError, match=r"^2 of the first 4 of 9 files cannot be used; more than .*=0\.1; the first"
    ):
        run(files, tmp_path / "out.npz", counting, bad=0.1)
    assert counting.clips == 4
    run(files, tmp_path / "out.npz", bad=0.3)  # goes on: the limit changes no row
    with pytest.raises(A2vError, match=r"^2 of 2 files cannot be used; the first: "):
        run(files[2:4], tmp_path / "none.npz", bad=1.0)


def test_a_signal_says_what_is_kept(files, tmp_path):
    terminated = Interrupted(signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"^interrupted$"):
        run(files, tmp_path / "out.npz", Counting(1, terminated))
    with pytest.raises(Interrupted, match=r"^interrupted after 4 files; the same command goes on"):
        run(files, tmp_path / "out.npz", Counting(5, terminated))


def test_memory_does_not_grow_with_the_files(tmp_path):
    starts, rows = np.arange(1_000), np.zeros((1_000, 64), np.float32)

    def peak(count):
        files = [pathlib.Path(f"{i}.wav") for i in range(count)]
        clip = ClipEmbeddings(starts, starts, rows)
        tracemalloc.start()
        try:
            run(files, tmp_path / f"{count}.npz", lambda: EmbedClip(lambda blocks: clip))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(40) < 1.1 * peak(10) < 0.5 * 40 * rows.nbytes


# Killed, in processes of their own ----------------------------------------------------------------

COMMAND = """
import os, signal
from a2v_tf.commands import embed
from a2v_tf.runtime import archive

def make(part, *arguments, original=archive._make):
    if part == {killed_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(part, *arguments)

archive._FILES, archive._make = 2, make
embed.run()
"""


def started(audio, output, *options, killed_at=None):
    arguments = ["--model=pretrained", f"--audio={audio}", f"--output={output}"]
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            COMMAND.format(killed_at=killed_at),
            *arguments,
            "--max_bad_fraction=0.5",
            *options,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a kill reaches workers, too
    )


def ended(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def kill_after_a_part(process, unfinished):
    """Kill the processes of a command when it has finished a part."""
    while not list(unfinished.glob("_work/0*.json")) and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for i in range(40):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(16_000 * 2), 16_000)
    (folder / "1.wav").write_bytes(b"not audio")
    return folder


@pytest.mark.parametrize("name", ["out.npz", "out/"])
def test_a_killed_command_goes_on(sounds, tmp_path, name):
    (tmp_path / "whole").mkdir()
    ended(started(sounds, f"{tmp_path}/whole/{name}"))
    (tmp_path / "killed").mkdir()
    output = tmp_path / "killed" / name
    process = started(sounds, f"{tmp_path}/killed/{name}", killed_at=3)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    assert not output.exists()
    kept = output.with_name(f"{output.name}.unfinished")
    assert len(list(kept.glob("_work/0*.json"))) == 3
    assert f"{name}: 156 embeddings of 39 files" in ended(
        started(sounds, f"{output.parent}/{name}")
    )
    assert content(output) == content(tmp_path / "whole" / name)


# With Beam ----------------------------------------------------------------------------------------


def in_process():
    pytest.importorskip("apache_beam")
    return beam.pipeline_options(["runner=FnApiRunner"])


def test_beam_writes_the_same_bytes(files, whole, tmp_path, monkeypatch):
    results = []
    spread = beam.spread
    monkeypatch.setattr(beam, "spread", lambda *x, **y: results.append(spread(*x, **y)))
    assert run(files, tmp_path / "out", beam_options=in_process()).embeddings == 18
    assert content(tmp_path / "out") == whole["out"]
    counters = results[0].metrics().query()["counters"]
    found = {x.key.metric.name: x.committed for x in counters if x.key.metric.namespace == "files"}
    assert found == {"embedded": 7, "skipped": 2}


def test_beam_goes_on_where_one_process_was(files, whole, tmp_path, monkeypatch):
    with pytest.raises(RuntimeError):
        run(files, tmp_path / "out", Counting(4))
    made = []
    make = archive._make
    monkeypatch.setattr(archive, "_make", lambda part, *x: made.append(part) or make(part, *x))
    run(files, tmp_path / "out", beam_options=in_process())
    assert sorted(made) == [2, 3, 4]
    assert content(tmp_path / "out") == whole["out"]


def test_a_failure_of_beam_is_one_line_and_keeps_what_is_done(files, whole, tmp_path):
    options = in_process()
    with pytest.raises(A2vError, match=r"^Apache Beam: .*\n?.*run the command again to resume"):
        run(files, tmp_path / "out", fails_at_the_last, beam_options=options)
    assert run(files, tmp_path / "out").embeddings == 18
    assert content(tmp_path / "out") == whole["out"]


def fails_at_the_last():
    return Counting(6)()


@pytest.mark.slow
def test_beam_with_several_processes_is_killed_and_goes_on(sounds, tmp_path):
    pytest.importorskip("apache_beam")
    (tmp_path / "one").mkdir()
    ended(started(sounds, f"{tmp_path}/one/out/"))
    options = "runner=FnApiRunner,direct_running_mode=multi_processing,direct_num_workers=2"
    (tmp_path / "many").mkdir()
    output = tmp_path / "many" / "out"
    process = started(sounds, f"{output}/", f"--beam_pipeline_options={options}")
    kill_after_a_part(process, output.with_name("out.unfinished"))
    assert process.returncode == -signal.SIGKILL
    ended(started(sounds, f"{output}/", f"--beam_pipeline_options={options}"))
    assert content(output) == content(tmp_path / "one" / "out")

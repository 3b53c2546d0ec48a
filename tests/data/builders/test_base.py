"""Common parts of the builders: archives, bad files, the split by hash, and the command."""

import csv
import functools
import http.server
import shutil
import string
import subprocess
import sys
import threading

import pytest

from a2v_tf.data.builders import BUILDERS, base
from tests.data.builders.conftest import check_audio


def write_speech_commands(distribution, clip) -> None:
    for word in ("yes", "no"):
        for i in range(6):
            clip(f"{word}/{word}{i}_nohash_0.wav")
    (distribution / "validation_list.txt").write_text("yes/yes4_nohash_0.wav\n")
    (distribution / "testing_list.txt").write_text("yes/yes5_nohash_0.wav\n")


def word_file(id: str) -> str:
    return id.partition("/")[2]


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_archives_are_unpacked(distribution, clip, prepare, tmp_path, kind):
    write_speech_commands(distribution, clip)
    shutil.make_archive(tmp_path / "speech_commands_v0.02", kind, distribution)
    shutil.rmtree(distribution)
    distribution.mkdir()
    (archive,) = tmp_path.glob("speech_commands_v0.02.*")
    archive.rename(distribution / archive.name)
    prepared = prepare("speech_commands")
    assert [len(prepared[split]) for split in base.SPLITS] == [10, 1, 1]
    check_audio(prepared, word_file)


def test_bad_clips_are_listed(distribution, clip, prepare, tmp_path):
    write_speech_commands(distribution, clip)
    (distribution / "no/broken_nohash_0.wav").write_text("not audio")
    assert len(prepare("speech_commands")["train"]) == 10
    with next(tmp_path.glob("data/*/*/not_used_train.csv")).open() as file:
        (row,) = csv.DictReader(file)
    assert row["id"] == "no/broken_nohash_0"
    assert row["reason"]


def test_a_split_without_usable_clips_is_an_error(distribution, clip, prepare):
    write_speech_commands(distribution, clip)
    (distribution / "yes/yes5_nohash_0.wav").write_text("not audio")
    with pytest.raises(ValueError, match="no clip of test can be used"):
        prepare("speech_commands")


def test_the_split_of_groups_by_hash_does_not_change():
    splits = [base.split_of(f"recording {i}") for i in range(4_000)]
    for split in ("test", "validation"):
        assert 340 < splits.count(split) < 460  # 400 expected, deviation 19
    of_letter = {letter: base.split_of(letter) for letter in string.ascii_lowercase}
    assert "".join(c for c, split in of_letter.items() if split == "test") == "djpsu"
    assert "".join(c for c, split in of_letter.items() if split == "validation") == "cfnx"


@pytest.mark.parametrize(("groups", "chosen"), [(1, 0), (2, 1), (10, 1), (11, 2), (28, 3)])
def test_a_tenth(groups, chosen):
    names = [str(i) for i in range(groups)]
    assert len(base.a_tenth(names)) == chosen
    assert base.a_tenth(names) == base.a_tenth(reversed(names))


def _command(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "a2v_tf.data.builders", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command(distribution, clip, tmp_path):
    write_speech_commands(distribution, clip)
    data_dir = tmp_path / "data"
    run = _command(
        "--name=speech_commands", f"--manual_dir={distribution}", f"--data_dir={data_dir}"
    )
    assert run.returncode == 0, run.stderr
    where, counts = run.stdout.splitlines()[-1].split(": ")
    assert where == str(data_dir / "a2v_speech_commands" / "1.0.0")
    assert set(counts.removesuffix(" clips").split(", ")) == {"train 10", "validation 1", "test 1"}


def test_errors_of_the_command_are_one_line(distribution, tmp_path):
    (distribution / "notes.txt").write_text("nothing")
    run = _command(
        "--name=musan", f"--manual_dir={distribution}", f"--data_dir={tmp_path / 'data'}"
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"error: musan: no clip found in {distribution}; expected: musan.tar.gz")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("speech_commands", "no file validation_list.txt in the folder or below"),
        ("librispeech_speakers", "no clip found in"),
        ("spoken_language", "no clip found in"),
        ("tut_urban_2018", "no file meta.csv in the folder or below"),
        ("bird_audio_detection", "no clip found in"),
        ("nsynth", "no clip found in"),
    ],
)
def test_a_folder_with_other_files_is_an_error(distribution, prepare, name, message):
    (distribution / "notes.txt").write_text("nothing")
    with pytest.raises(FileNotFoundError, match=message):
        prepare(name)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_errors_name_the_expected_files(name, tmp_path):
    builder = BUILDERS[name](data_dir=tmp_path)
    assert builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    assert builder.info.homepage.startswith("https://")
    assert builder.info.citation
    assert builder.info.metadata["sample_rate"] == 16_000


@pytest.fixture
def server(distribution):
    """Serve `distribution` over HTTP; return the address."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=distribution)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def test_without_manual_dir_it_is_downloaded(distribution, clip, tmp_path, server, monkeypatch):
    lines = ["itemid,datasetid,hasbird"]
    for i in range(30):
        clip(f"unpacked/wav/{i}.wav")
        lines.append(f"{i},ff1010bird,{i % 2}")
    shutil.make_archive(distribution / "ff1010bird_wav", "zip", distribution / "unpacked")
    (distribution / "10853303").write_text("\n".join(lines) + "\n")  # figshare gives no suffix
    urls = (f"{server}/ff1010bird_wav.zip", f"{server}/10853303")
    monkeypatch.setattr(BUILDERS["bird_audio_detection"], "URLS", urls)
    builder = BUILDERS["bird_audio_detection"](data_dir=tmp_path / "data")
    builder.download_and_prepare()
    assert sum(info.num_examples for info in builder.info.splits.values()) == 30

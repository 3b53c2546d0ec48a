"""Names with spaces, line breaks, quotes, other alphabets; links in circles; other locales."""

import csv
import os
import pathlib
import subprocess

import numpy as np
import pytest
import soundfile

from tests.conftest import command
from tests.torture.inputs import QUICK

LOCALES = {
    "utf-8": {"LC_ALL": "C.UTF-8"},
    "ascii": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
}
FOLDER = "a b\nc"
NAMES = (
    "two  spaces.wav",
    "line\nbreak.wav",
    "\"quotes' $HOME.wav",
    "ünïcödé 狗.wav",
    "tab\t,.wav",
)
BAD = "bad\nü.wav"


@pytest.fixture
def corpus(tmp_path):
    """A folder `corpus` of good files and a bad one, with links that lead back to it."""
    folder = tmp_path / "corpus" / FOLDER
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in NAMES:
        soundfile.write(folder / name, rng.normal(0, 0.1, 24_000), 16_000)
    (folder / BAD).write_bytes(b"RIFF" + bytes(40))
    (folder / "up").symlink_to("..")
    (folder / "itself").symlink_to("itself")
    (folder / "none.wav").symlink_to("nothing there.wav")
    (folder / "round.wav").symlink_to("round.wav")
    return tmp_path


def run_in(folder: pathlib.Path, locale: str, name: str, *options: str, code: int = 0) -> str:
    """What a command says in a locale, both streams."""
    environment = {key: os.environ[key] for key in os.environ if not key.startswith("LC_")}
    environment |= {**LOCALES[locale], "XDG_CACHE_HOME": str(folder / "cache")}
    run = subprocess.run(
        [command(name), *options], cwd=folder, env=environment, capture_output=True
    )
    said = run.stdout.decode() + run.stderr.decode()
    assert run.returncode == code, said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("locale", LOCALES)
def test_embed_and_stream(corpus, locale):
    table = "o ü\n.csv"
    said = run_in(
        corpus,
        locale,
        *("a2v_embed", "--model=pretrained", "--audio=corpus", f"--output={table}"),
        "--max_bad_fraction=0.5",
    )
    with (corpus / table).open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert {row[0] for row in rows[1:]} == {f"corpus/{FOLDER}/{name}" for name in NAMES}
    skipped = [line for line in said.splitlines() if "skipped" in line]
    assert len(skipped) == 3, said  # what is bad, and the links that lead nowhere
    sound = ("a2v_stream", "--model=pretrained", f"--audio=corpus/{FOLDER}/")
    run_in(corpus, locale, *sound[:-1], sound[-1] + NAMES[3])
    said = run_in(corpus, locale, *sound[:-1], sound[-1] + BAD, code=1)
    bad = "bad\\nü.wav" if locale == "utf-8" else "bad\\n\\xfc.wav"
    assert said.startswith(f"error: corpus/a b\\nc/{bad}: ")
    assert said.count("\n") == 1


@pytest.mark.slow
def test_train_evaluate_and_report(corpus):
    """Not in an ASCII locale: there TensorFlow takes ASCII paths only."""
    with (corpus / "lä bels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for i, name in enumerate(NAMES):
            split = "train" if i < 3 else "test"
            writer.writerow([f"corpus/{FOLDER}/{name}", "狗" if i % 2 else "a b", split])
    model = "mödel\ndir"
    options = ["--data=corpus", f"--model_dir={model}", "--steps=2", *QUICK]
    run_in(corpus, "utf-8", "a2v_train", *options, "--max_bad_fraction=0.5")
    with (corpus / model / "bad_files.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert any(row["path"].endswith(BAD) for row in rows), rows
    options = [f"--model_dir={model}", "--downstream=csv:lä bels.csv", "--output=results ü.json"]
    run_in(corpus, "utf-8", "a2v_evaluate", *options, "--cache_dir=cache ü")
    options = [model, "results ü.json", "--output=ü.html", "--markdown=ü.md"]
    run_in(corpus, "utf-8", "a2v_report", *options)
    assert "mödel" in (corpus / "ü.html").read_text(encoding="utf-8")

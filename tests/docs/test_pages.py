"""Every block of code in the documentation runs, or says why it does not."""

import functools
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest

from tests.docs import stand_ins
from tests.docs.blocks import ROOT, RUN, SHOWN, blocks, run_page

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md"))

# What a page's reader has already.
STAND_INS: dict[str, list[Callable[[pathlib.Path], None]]] = {
    "extend/data.md": [stand_ins.recordings, stand_ins.parts, stand_ins.labelled],
    "extend/encoder.md": [stand_ins.recordings],
    "extend/task.md": [stand_ins.recordings],
    "getting-started.md": [stand_ins.recordings],
    "reference/evaluation.md": [stand_ins.labelled],
    "tutorials/own-recordings.md": [stand_ins.recordings, stand_ins.labelled],
    "tutorials/reconstruction.md": [stand_ins.recordings],
    "tutorials/distillation.md": [stand_ins.several_recordings],
    "tutorials/ten-examples.md": [stand_ins.recordings, stand_ins.examples],
    "tutorials/app.md": [stand_ins.recordings],
    "tutorials/classifier.md": [stand_ins.recordings, stand_ins.labelled],
    "tutorials/archive.md": [stand_ins.recordings],
    "tutorials/raspberry-pi.md": [stand_ins.recordings, stand_ins.examples],
    "tutorials/many-gpus.md": [stand_ins.recordings],
    "tutorials/audioset.md": [stand_ins.audioset],
    "tutorials/other-sounds.md": [stand_ins.recordings],
    "tutorials/sensors.md": [stand_ins.band_levels],
}
SLOW = {
    *("extend/data.md", "extend/encoder.md", "extend/task.md"),
    *(
        "tutorials/classifier.md",
        "tutorials/own-recordings.md",
        "tutorials/reconstruction.md",
        "tutorials/distillation.md",
        "tutorials/many-gpus.md",
        "tutorials/audioset.md",
        "tutorials/other-sounds.md",
        "tutorials/sensors.md",
    ),
}

# A few steps on a few examples, instead of hours.
SMALLER = {
    r" --(steps|batch_size|steps_per_execution)=\d+": "",
    r"a2v_train ": "a2v_train --steps=2 --batch_size=4 --eval_every=2 --validation_examples=4 "
    "--context=1 ",
    r"--context=1 (?=.*spectrogram:)": "",
    r"--teachers=": "--components=4 --teachers=",
    r" --finetune_steps=\d+": " --finetune_steps=2 --finetune_batch_size=4",
    r"a2v_evaluate ": "a2v_evaluate --untrained_seeds=1 ",
    r"(--model_dir=models/.*)--quantize": r"\1--quantize --calibration_slices=4",
}


def smaller(code: str, folder: pathlib.Path) -> str:
    """What a block says, on the stand-ins in a folder."""
    code = code.replace("/path/to/", f"{folder}/path/to/")
    joined = re.sub(r"\\\n\s*", "", code)
    return functools.reduce(lambda text, rule: re.sub(*rule, text), SMALLER.items(), joined)


def names(page: pathlib.Path) -> str:
    return page.relative_to(DOCS).as_posix()


def test_every_block_is_run_or_says_why_not() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in (*RUN, *SHOWN), f"{block}: unknown language"
            assert block.title or block.language in RUN or not block.not_run, f"{block}: marked"


def test_files_that_are_named_exist() -> None:
    named = re.compile(
        r"`((?:a2v_tf|export|tests|benchmarks|examples|recipes|android_demo|docs)/[\w./-]+)`"
    )
    for page in PAGES:
        for path in named.findall(page.read_text(encoding="utf-8")):
            exists = (ROOT / path).exists() or "NAME" in path or "/build/" in path
            assert exists, f"docs/{names(page)}: no {path}"


def test_no_fence_is_overlooked() -> None:
    for page in PAGES:
        fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), page


@pytest.mark.usefixtures("quick_jax")
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=names(page), marks=[pytest.mark.slow] * (names(page) in SLOW))
        for page in PAGES
        if any(block.language in RUN and not block.not_run for block in blocks(page))
    ],
)
def test_the_blocks_of(
    page: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # as in an interpreter that is started there
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tensorflow_datasets"))
    for write in STAND_INS.get(names(page), []):
        write(tmp_path)
    pcm = np.sin(np.arange(32_000) / 10, dtype=np.float32)
    variables = {"pcm": pcm, "microphone": np.split(pcm, 20)}
    run_page(page, tmp_path, variables, functools.partial(smaller, folder=tmp_path))

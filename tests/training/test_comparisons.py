"""Tasks that compare recordings: what is said before the first step where there is one."""

import logging

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from a2v_tf.errors import A2vError
from a2v_tf.frontend import FRONT_END
from a2v_tf.tasks.task import find_tasks
from a2v_tf.training.batches import VALIDATION_ROUND
from a2v_tf.training.comparisons import check_comparisons
from a2v_tf.training.settings import TrainSettings
from tests.conftest import run_command

COMPARE = ["triplet", "contrastive", "transposition"]


class Recordings:
    """A source of crops of `count` recordings, in stretches of `stretch` crops of one."""

    front_end = FRONT_END

    def __init__(self, count, stretch=1):
        self._count, self._stretch = count, stretch

    def crops(self, samples, *, seed, round_index, share=None, crops_per_clip=1):
        stretch = self._stretch * crops_per_clip
        return tf.data.Dataset.range(tf.int64.max).map(
            lambda i: (tf.zeros([samples]), i // stretch % self._count)
        )


def check(source, *names, round_index=0, **changes):
    settings = TrainSettings(model_dir="m", **{"batch_size": 8, **changes})
    check_comparisons("--data=x", source, find_tasks(names), settings, round_index)


@pytest.mark.parametrize("name", COMPARE)
def test_one_recording_is_nothing_to_compare(name):
    with pytest.raises(A2vError, match=f"^--data=x: all of 512 random .*, and {name} compares "):
        check(Recordings(1), name)
    with pytest.raises(A2vError, match=f"^--batch_size=1: {name} compares the examples of a batch"):
        check(Recordings(5), name, batch_size=1)
    check(Recordings(2), name)


def test_also_as_one_of_several_heads():
    with pytest.raises(A2vError, match="and triplet, contrastive compare recordings"):
        check(Recordings(1), "cbow", "triplet", "contrastive")


def test_other_tasks_learn_from_one_recording():
    check(Recordings(1), "cbow", "temporal_gap", "arrow_of_time")


def test_a_warning_where_it_is_often(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        check(Recordings(9, stretch=10), "triplet", batch_size=12)
        assert not caplog.messages
        check(Recordings(9, stretch=10), "triplet", batch_size=4)
    (line,) = caplog.messages
    assert line.startswith("--data=x: 80 % of the batches hold crops of one recording only")


def test_crops_per_clip_counts_for_training_only():
    options = {"crops_per_clip": 600, "data": "tfds:x"}
    with pytest.raises(A2vError, match="are of one recording"):
        check(Recordings(9), "triplet", **options)
    check(Recordings(9), "triplet", round_index=VALIDATION_ROUND, **options)


@pytest.fixture
def one_recording(tmp_path):
    folder = tmp_path / "one"
    folder.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)
    soundfile.write(folder / "a.wav", noise, 16_000)
    (folder / "b.wav").write_bytes(b"no audio")
    return folder


def test_the_command_stops_before_the_first_step(one_recording, tmp_path):
    options = [f"--data={one_recording}", "--frames=32", "--context=1", "--max_bad_fraction=1"]
    for heads in (["--task=triplet"], ["--task=multi_head", "--heads=cbow,contrastive"]):
        model_dir = tmp_path / "model"
        run = run_command("a2v_train", f"--model_dir={model_dir}", *options, *heads, fails=True)
        assert run.stderr.splitlines()[-1].startswith(f"error: --data={one_recording}: all of 512 ")
        assert not (model_dir / "config.json").exists()


def test_the_validation_data_too(one_recording, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "two").mkdir()
    for name in "ab":
        noise = 0.1 * rng.standard_normal(3 * 16_000)
        soundfile.write(tmp_path / "two" / f"{name}.wav", noise, 16_000)
    run = run_command(
        "a2v_train",
        f"--data={tmp_path}/two",
        f"--validation_data={one_recording}",
        f"--model_dir={tmp_path}/model",
        *["--task=triplet", "--frames=32", "--max_bad_fraction=1"],
        fails=True,
    )
    assert f"error: --validation_data={one_recording}: all of 512" in run.stderr

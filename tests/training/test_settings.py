"""The settings of a run: limits, which goes with which, and what a resumed run may change."""

import dataclasses
import json

import pytest
from absl import flags

from a2v_tf.errors import A2vError
from a2v_tf.settings import define_flags, from_flags
from a2v_tf.specs import Slicing, TaskOptions
from a2v_tf.training.settings import TrainSettings, applies
from tests.conftest import forgotten_flags


def settings(**changes):
    return TrainSettings(model_dir="m", **changes)


def test_flags_give_the_defaults():
    with forgotten_flags():
        define_flags(TrainSettings, __name__)
        flags.FLAGS(["x", "--model_dir=m"])
        assert from_flags(TrainSettings) == settings()
        flags.FLAGS(["x", "--model_dir=m", "--heads=cbow,triplet", "--task=multi_head"])
        assert from_flags(TrainSettings) == settings(task="multi_head", heads=("cbow", "triplet"))


def test_every_flag_has_a_help_text():
    for field in dataclasses.fields(TrainSettings):
        assert field.metadata["help"].endswith("."), field.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "^--steps=0: expected at least 1$"),
        ({"mix": float("nan")}, "^--mix=nan: expected at least 0$"),
        ({"noise": 2.0, "task": "autoencoder"}, "^--noise=2.0: expected at most 1$"),
        ({"schedule": "linear"}, "^--schedule=linear: expected one of constant, cosine$"),
        ({"task": "word2vec"}, "^--task=word2vec: expected one of cbow, .* or package.module:TASK"),
        ({"margin": 0.2}, "^--margin=0.2: for triplet, not for --task=cbow$"),
        ({"heads": ("cbow",)}, "^--heads=cbow: for multi_head, not for --task=cbow$"),
        ({"steps": 5, "steps_per_execution": 2}, "expected a divisor of --eval_every=|--steps=5"),
        (
            {"task": "temporal_gap", "max_frames": 50},
            "^--max_frames=50: expected at least --frames=96$",
        ),
    ],
)
def test_what_cannot_be_gets_one_line(changes, message):
    with pytest.raises(A2vError, match=message):
        settings(**changes)


def test_parts():
    run = settings(task="autoencoder", variant="denoising", noise=0.3, frames=32, max_frames=None)
    assert run.slicing == Slicing(32, 2, 2, None)
    assert run.task_options == TaskOptions(variant="denoising", noise=0.3)
    assert run.task_names == ("autoencoder",)
    assert settings(task="multi_head").task_names == ("cbow", "skip_gram", "temporal_gap")
    assert settings(task="supervised").task_names == ()


def test_which_settings_are_for_a_task():
    assert applies("margin", "triplet", ("triplet",))
    assert applies("margin", "multi_head", ("cbow", "triplet"))
    assert not applies("margin", "cbow", ("cbow",))
    assert not applies("mix", "supervised", ())
    assert applies("margin", "mine:TASK", ("mine:TASK",))  # it may use any


def test_the_last_round_may_be_shorter():
    run = settings(steps=1_200, eval_every=500)
    assert run.rounds() == 3
    assert [run.step_after(i) for i in range(3)] == [500, 1_000, 1_200]


def test_what_a_resumed_run_may_change():
    run = settings(steps=10, learning_rate=1e-3)
    config = json.loads(json.dumps(run.as_config()))
    settings(steps=20, learning_rate=1e-3, frontend="device").check_resumes(config)
    settings(steps=10).check_resumes(config)  # the rate is the task's, not known yet
    with pytest.raises(A2vError, match=r"trained with --batch_size=256, not 8"):
        settings(learning_rate=1e-3, batch_size=8).check_resumes(config)
    with pytest.raises(A2vError, match=r"trained with --learning_rate=0.001, not 0.1"):
        settings(learning_rate=0.1).check_resumes(config)
    cosine = settings(steps=10, learning_rate=1e-3, schedule="cosine")
    with pytest.raises(A2vError, match=r"trained with --steps=10, not 20"):
        dataclasses.replace(cosine, steps=20).check_resumes(cosine.as_config())
    del config["precision"]  # a run of a version without this setting
    run.check_resumes(config)

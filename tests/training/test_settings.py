"""The settings of a run: limits, which goes with which, and what a resumed run may change."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from absl import flags

from a2v_tf.errors import A2vError
from a2v_tf.settings import define_flags, from_flags
from a2v_tf.specs import Slicing, TaskOptions
from a2v_tf.training.loop import make_optimizer
from a2v_tf.training.schedule import learning_rate
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


@pytest.mark.parametrize(("text", "value"), [("clip", "clip"), ("998", 998)])
def test_a_flag_that_is_a_number_or_a_word(text, value):
    with forgotten_flags():
        define_flags(TrainSettings, __name__)
        flags.FLAGS(["x", "--model_dir=m", "--task=triplet", f"--max_frames={text}"])
        run = from_flags(TrainSettings)
        assert run.max_frames == run.slicing.max_frames == value
        assert f"--max_frames={text}" in flags.FLAGS.flags_into_string().split()


@pytest.mark.parametrize("text", ["whole", "0", "1.5"])
def test_a_flag_that_is_neither(text):
    with forgotten_flags():
        define_flags(TrainSettings, __name__)
        with pytest.raises(flags.IllegalFlagValueError, match="max_frames"):
            flags.FLAGS(["x", "--model_dir=m", f"--max_frames={text}"])


def test_every_flag_has_a_help_text():
    for field in dataclasses.fields(TrainSettings):
        assert field.metadata["help"].endswith("."), field.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "^--steps=0: expected at least 1$"),
        ({"mix": float("nan")}, "^--mix=nan: expected at least 0$"),
        ({"noise": 2.0, "task": "autoencoder"}, "^--noise=2.0: expected at most 1$"),
        (
            {"schedule": "linear"},
            "^--schedule=linear: expected one of constant, cosine, trapezoid$",
        ),
        ({"task": "word2vec"}, "^--task=word2vec: expected one of cbow, .* or package.module:TASK"),
        ({"margin": 0.2}, "^--margin=0.2: for triplet, not for --task=cbow$"),
        ({"heads": ("cbow",)}, "^--heads=cbow: for multi_head, not for --task=cbow$"),
        ({"steps": 5, "steps_per_execution": 2}, "expected a divisor of --eval_every=|--steps=5"),
        (
            {"task": "temporal_gap", "max_frames": 50},
            "^--max_frames=50: expected at least --frames=96$",
        ),
        ({"task": "triplet", "max_frames": 0}, "^--max_frames=0: expected at least 1$"),
        ({"max_frames": "clip"}, "^--max_frames=clip: for contrastive, temporal_gap, triplet, not"),
        (
            {"task": "triplet", "max_frames": "clip", "frontend": "device"},
            "^--frontend=device: not with --max_frames=clip, ",
        ),
        (
            {"task": "triplet", "max_frames": "clip", "gain_db": 3.0},
            "^--gain_db=3.0: not with --max_frames=clip, .* expected --slice_gain_db$",
        ),
        (
            {
                "task": "multi_head",
                "heads": ("distill", "triplet"),
                "teachers": ("log_mel_statistics",),
                "max_frames": "clip",
            },
            "^--max_frames=clip: not with distill",
        ),
        ({"context_before": -1}, "^--context_before=-1: expected at least 0$"),
        ({"context_before": 0, "context_after": 0}, "^--context_before=0 and --context_after=0: "),
        (
            {"task": "autoencoder", "context_after": 0},
            "^--context_after=0: for cbow, skip_gram, not for --task=autoencoder$",
        ),
        ({"dropout": 1.0}, "^--dropout=1.0: expected at most 0.99$"),
        ({"weight_decay": -0.1}, "^--weight_decay=-0.1: expected at least 0$"),
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


def test_weight_decay_spares_biases_and_batch_norm():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.add(keras.layers.BatchNormalization())
    optimizer = make_optimizer(settings(learning_rate=0.5, weight_decay=0.1))
    optimizer.build(model.trainable_variables)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    optimizer.apply([np.zeros(v.shape, np.float32) for v in model.trainable_variables])
    after = {variable.name: np.unique(variable.numpy()) for variable in model.trainable_variables}
    np.testing.assert_allclose(after.pop("kernel"), 2.0 * (1 - 0.5 * 0.1), rtol=1e-6)
    assert set(after) == {"bias", "gamma", "beta"}
    assert all(values.tolist() == [2.0] for values in after.values())
    assert make_optimizer(settings(learning_rate=0.5)).weight_decay is None


def test_schedules():
    def rates(**changes):
        rate = learning_rate(settings(steps=10, learning_rate=2.0, **changes))
        return [round(float(rate(step)), 6) for step in range(10)]

    trapezoid = rates(schedule="trapezoid", warmup_steps=4, decay_steps=4)
    assert trapezoid == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 1.5, 1.0, 0.5]
    assert rates(schedule="trapezoid", warmup_steps=0)[-3:] == [2.0, 2.0, 1.0]  # a fifth
    assert rates(schedule="cosine")[1:] == sorted(rates(schedule="cosine")[1:], reverse=True)
    assert learning_rate(settings(learning_rate=2.0)) == 2.0


def test_the_last_round_may_be_shorter():
    run = settings(steps=1_200, eval_every=500)
    assert run.rounds() == 3
    assert [run.step_after(i) for i in range(3)] == [500, 1_000, 1_200]


def test_what_a_resumed_run_may_change():
    run = settings(steps=10, learning_rate=1e-3)
    config = json.loads(json.dumps(run.as_config()))
    settings(steps=20, learning_rate=1e-3, frontend="device").check_resumes(config, 4)
    settings(steps=10).check_resumes(config, 4)  # the rate is the task's, not known yet
    with pytest.raises(A2vError, match=r"trained with --batch_size=256, not 8"):
        settings(learning_rate=1e-3, batch_size=8).check_resumes(config, 4)
    with pytest.raises(A2vError, match=r"trained with --learning_rate=0.001, not 0.1"):
        settings(learning_rate=0.1).check_resumes(config, 4)
    cosine = settings(steps=10, learning_rate=1e-3, schedule="cosine")
    with pytest.raises(A2vError, match=r"trained with --steps=10, not 20"):
        dataclasses.replace(cosine, steps=20).check_resumes(cosine.as_config(), 4)
    trapezoid = settings(steps=100, learning_rate=1e-3, schedule="trapezoid")
    assert trapezoid.decay_start == 80
    longer = dataclasses.replace(trapezoid, steps=200, decay_steps=150)
    longer.check_resumes(trapezoid.as_config(), 50)
    trapezoid.check_resumes(longer.as_config(), 50)
    for step in (51, 80, 100):
        with pytest.raises(A2vError, match=r"trained with --steps=100, not 200: .* steps are tr"):
            longer.check_resumes(trapezoid.as_config(), step)
    trapezoid.check_resumes(trapezoid.as_config(), 100)
    with pytest.raises(A2vError, match=r"trained with --decay_steps=None, not 30: "):
        dataclasses.replace(trapezoid, decay_steps=30).check_resumes(trapezoid.as_config(), 75)
    with pytest.raises(A2vError, match=r"trained with --schedule=trapezoid, not constant"):
        settings(steps=100, learning_rate=1e-3).check_resumes(trapezoid.as_config(), 10)
    del config["precision"]  # a run of a version without this setting
    run.check_resumes(config, 4)


def test_runs_of_versions_without_the_mirrored_decoder_go_on_as_dense():
    dense = settings(steps=10, slice_decoder="dense")
    config = dense.as_config()
    del config["slice_decoder"]
    dense.check_resumes(config, 4)
    with pytest.raises(A2vError, match=r"trained with --slice_decoder=dense, not mirror: use that"):
        settings(steps=10).check_resumes(config, 4)
    for without_decoder in (
        settings(task="triplet"),
        settings(task="distill", teachers=("log_mel_statistics",)),
        settings(task="multi_head", heads=("contrastive", "transposition")),
    ):
        config = without_decoder.as_config()
        for name in ("slice_decoder", "dropout", "weight_decay", "context_before", "context_after"):
            del config[name]
        without_decoder.check_resumes(config, 4)

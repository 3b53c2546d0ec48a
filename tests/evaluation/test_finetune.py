"""Training encoders on labels: what moves, what stays, and what it reaches."""

import dataclasses

import keras
import numpy as np
import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation import finetune
from a2v_tf.evaluation.finetune import (
    check_depths,
    depths,
    fine_tune,
    held_out,
    kernel_weights,
)
from a2v_tf.evaluation.settings import ALL_CLIPS, Few, TrainingSettings
from a2v_tf.models.encoder import build_encoder
from a2v_tf.specs import ENCODERS, InputStats
from tests.evaluation.conftest import Tones, tiny_encoder

QUICK = TrainingSettings(steps=2, learning_rate=1e-2, batch_size=4)


@pytest.fixture(scope="module")
def judge():
    return held_out(Tones(), 48)


def layer_of(variable_path: str) -> str:
    return next(part for part in variable_path.split("/") if part.startswith(("conv", "embed")))


@pytest.mark.parametrize(
    ("depth", "moves"),
    [
        ("fc", {"embedding"}),
        ("conv3", {"conv3", "embedding"}),
        ("conv2", {"conv2", "conv3", "embedding"}),
        ("all", {"conv1", "conv2", "conv3", "embedding"}),
    ],
)
def test_only_the_upper_layers_move(depth, moves, judge):
    """Frozen layers keep every weight, batch norm's statistics too; the others change all."""
    encoder = tiny_encoder(frames=48)
    before = [np.array(weight) for weight in encoder.get_weights()]
    scores, trained, _ = fine_tune(encoder, depth, [Tones()], {"tones": judge}, QUICK, seed=0)
    for weight, old, new in zip(encoder.weights, before, trained.get_weights(), strict=True):
        part = layer_of(weight.path).split("_")[0]
        assert (part in moves) == bool((old != new).any()), weight.path
    for old, kept in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, kept)  # the encoder given is not touched
    assert scores["tones"].n_test == 4


def test_task_parameters_are_those_of_figure_3():
    """128 x C for the head alone, and from Table 1: FC 16,384, layer 5 81,920."""
    encoder = build_encoder(ENCODERS["small"], 96, 64, InputStats())
    found = {}
    for depth in ("fc", "conv5", "all"):
        finetune.free_from(encoder, depth)
        found[depth] = sum(kernel_weights(layer) for layer in encoder.layers if layer.trainable)
    assert found == {"fc": 16_384, "conv5": 16_384 + 81_920, "all": 125_408}


def test_what_the_last_layer_of_multiscale_reads_is_trained_with_it():
    encoder = build_encoder(ENCODERS["multiscale"], 96, 64, InputStats())
    assert depths(encoder)[:3] == ["none", "fc", "conv6"]
    finetune.free_from(encoder, "fc")
    weights = {layer.name: kernel_weights(layer) for layer in encoder.layers if layer.trainable}
    assert {name: count for name, count in weights.items() if count} == {
        "level2_columns": 16 * 40,
        "level3_columns": 8 * 80,
        "level4_columns": 4 * 128,
        "embedding": 584 * 256,
    }


def test_it_learns_and_a_seed_repeats_it(judge):
    """Tones 300 and 3000 Hz apart: from scratch, at the Supervised baseline's learning rate."""
    settings = TrainingSettings(steps=40, learning_rate=1e-2, batch_size=16)
    runs = [
        fine_tune(tiny_encoder(frames=48), "all", [Tones()], {"tones": judge}, settings, seed=1)
        for _ in range(2)
    ]
    assert runs[0][0]["tones"].accuracy == 1.0
    assert runs[0][0]["tones"].task_parameters == kernel_weights(runs[0][1]) + 5 * 2
    for first, second in zip(runs[0][1].get_weights(), runs[1][1].get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_batch_norm_is_ready_after_few_steps(judge):
    """Its averages forget where they start from within the steps there are."""
    encoder = tiny_encoder(frames=48)
    _, trained, _ = fine_tune(encoder, "all", [Tones()], {"tones": judge}, QUICK, seed=0)
    assert trained.get_layer("conv1_bn").momentum == 0.0  # two steps: the last batch's
    assert encoder.get_layer("conv1_bn").momentum == 0.99
    np.testing.assert_array_less(trained.get_layer("conv3_bn").get_weights()[3], 0.9)


def test_several_data_sets_share_an_encoder(judge):
    settings = TrainingSettings(steps=30, learning_rate=1e-2, batch_size=17)
    datasets = [Tones("one"), Tones("two")]
    judges = {"one": judge, "two": judge}
    scores, *_ = fine_tune(tiny_encoder(frames=48), "all", datasets, judges, settings, seed=0)
    assert set(scores) == {"one", "two"}
    for score in scores.values():
        assert score.accuracy == 1.0
        assert score.task_parameters == 5 * 2  # the encoder is nobody's alone


def test_val_clips_choose_the_round_if_they_are_asked(monkeypatch):
    """The weights kept are those of the best round; or the last: if so selected, with few clips, or
    without val clips."""
    seen, weights = [], []
    accuracies = [0.2, 0.9, 0.9, 0.1, 0.3]

    def judged(classifier, name, judge, split):
        assert split == "val" or len(weights) == len(accuracies) or not judge.count("val")
        if split == "val":
            weights.append([np.array(weight) for weight in classifier.get_weights()])
            return accuracies[len(weights) - 1]
        seen.append([np.array(weight) for weight in classifier.get_weights()])
        return 0.5

    monkeypatch.setattr(finetune, "accuracy_of", judged)
    settings = dataclasses.replace(QUICK, steps=5)
    curves, rounds = [], []  # the weights after rounds 2 to 5 of the first training
    for data, select, few in (
        (Tones(), "best", ALL_CLIPS),
        (Tones(), "last", ALL_CLIPS),
        (Tones(), "best", Few(per_class=4)),
        (Tones(val=False), "best", ALL_CLIPS),
    ):
        weights = []
        judges = {"tones": held_out(data, 48)}
        encoder = tiny_encoder(frames=48)
        tuned = fine_tune(encoder, "all", [data], judges, settings, 0, select=select, few=few)
        curves.append(tuned.curves)
        second, *_, last = rounds = rounds or weights[1:]
        expected = second if len(curves) == 1 else last
        for kept, weight in zip(seen[-1], expected, strict=True):
            np.testing.assert_array_equal(kept, weight)
    assert curves[0] == {"tones": [(i + 1, value) for i, value in enumerate(accuracies)]}
    assert curves[1] == curves[2] == curves[0]
    assert curves[3] == {}


def test_depths():
    vgg = build_encoder(ENCODERS["vgg6"], 96, 64, InputStats())
    assert depths(tiny_encoder()) == ["none", "fc", "conv3", "conv2", "conv1", "all"]
    assert depths(vgg)[:3] == ["none", "fc", "conv6"]
    check_depths(["none", "conv6", "all"], vgg)
    with pytest.raises(A2vError, match="--finetune=conv9: expected some of none, fc, conv6"):
        check_depths(["fc", "conv9"], vgg)


def test_a_loss_that_explodes_is_one_line(judge):
    settings = dataclasses.replace(QUICK, learning_rate=1e30, steps=20)
    with pytest.raises(A2vError, match="the loss on tones is"):
        fine_tune(tiny_encoder(frames=48), "all", [Tones()], {"tones": judge}, settings, seed=0)
    keras.backend.clear_session()

"""Which candidates are shipped, and what is expected of them."""

import json

import pytest

from a2v_tf.errors import A2vError
from tests.recipes.conftest import FOLDER

SMALL, LARGE = 150_000, 1_900_000


@pytest.fixture
def shipped(script):
    return script("shipped")


def choose(shipped, **candidates):
    """The choices among candidates given as (score, weights, task)."""
    return shipped.choices(
        {name: score for name, (score, _, _) in candidates.items()},
        {name: {"task": task, "heads": ["cbow"]} for name, (_, _, task) in candidates.items()},
        {name: weights for name, (_, weights, _) in candidates.items()},
    )


def test_the_best_small_one_and_the_best_that_learned_alone(shipped):
    candidates = {
        "taught": (0.8, SMALL, "distill"),
        "cbow": (0.6, SMALL, "cbow"),
        "heads": (0.7, SMALL, "multi_head"),
        "labels": (0.75, SMALL, "supervised"),
        "large": (0.82, LARGE, "distill"),
    }
    expected = {"pretrained": "taught", "pretrained_self_supervised": "heads"}
    assert choose(shipped, **candidates) == expected
    larger = choose(shipped, **candidates, larger=(0.84, LARGE, "cbow"))
    assert larger == {**expected, "pretrained_large": "larger"}
    assert choose(shipped, heads=candidates["heads"]) == {"pretrained": "heads"}
    with pytest.raises(A2vError, match="no candidate of up to 200,000 weights"):
        choose(shipped, large=candidates["large"])


def test_heads_with_a_teacher_do_not_learn_alone(shipped):
    assert not shipped.learns_alone({"task": "multi_head", "heads": ["cbow", "distill"]})
    assert shipped.learns_alone({"task": "multi_head", "heads": ["cbow", "triplet"]})


def test_what_may_not_be_shipped_is_refused(shipped):
    shipped.check_weights("pretrained", 200_000)
    shipped.check_weights("pretrained_large", 2_000_000)
    with pytest.raises(A2vError, match="pretrained: 200,001 weights; expected at most 200,000"):
        shipped.check_weights("pretrained", 200_001)
    shipped.check_licence("aisfx", "CC-BY-4.0")
    with pytest.raises(A2vError, match=r"teacher birds: licence CC-BY-NC-SA-4\.0; expected "):
        shipped.check_licence("birds", "CC-BY-NC-SA-4.0")


def test_the_teachers_of_own_teachers_count(shipped, tmp_path):
    config = {"task": "distill", "teachers": ["whisper_tiny", "aisfx"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    teachers = ["aisfx", f"model:{tmp_path}"]
    assert shipped.foreign_teachers({"teachers": teachers}) == ["aisfx", "whisper_tiny"]
    assert shipped.foreign_teachers({"task": "cbow"}) == []
    before = {"task": "distill", "teachers": ["crepe_tiny"]}
    after = {"task": "cbow", "initial_run": before}
    assert shipped.foreign_teachers(after) == ["crepe_tiny"]
    assert not shipped.learns_alone(after)


def test_each_card_compares_with_what_learned_otherwise(script):
    ship = script("ship")
    assert all((FOLDER / f"candidates/{name}.flags").is_file() for name in ship.COMPARED)
    choice = {
        "choices": {"pretrained": "long", "pretrained_self_supervised": "triplet"},
        "directories": {name: f"w/{name}" for name in ("long", "triplet", *ship.COMPARED[:2])},
    }
    papers = [f"w/{name}" for name in ship.COMPARED[:2]]
    assert ship.compared(choice, "long") == [*papers, "w/triplet"]
    assert ship.compared(choice, "triplet") == papers


# Criteria ----------------------------------------------------------------------------------------


def rows(**accuracies):
    """Rows of models given as accuracies of two tasks, by linear probe and nearest neighbours."""
    found = []
    for model, of in accuracies.items():
        for protocol, (first, second) in zip(("linear", "knn_clips"), of, strict=True):
            for task, value in (("SPC", first), ("NPI", second), ("mean", (first + second) / 2)):
                row = {"model": model.replace("__", " "), "protocol": protocol, "task": task}
                found.append({**row, "examples_per_class": None, "accuracy": value})
                found.append({**row, "examples_per_class": 5, "accuracy": 0.0})
    return found


GOOD = {
    "int8__window": ((0.95, 0.91), (0.9, 0.8)),
    "int8__streaming": ((0.95, 0.90), (0.9, 0.79)),
    "untrained": ((0.7, 0.92), (0.6, 0.6)),
    "log_mel_statistics": ((0.8, 0.8), (0.6, 0.6)),
    "whisper_tiny": ((0.99, 0.5), (0.9, 0.5)),
}


def outcomes(shipped, name="pretrained", teachers=("whisper_tiny",), **changed):
    judged = shipped.criteria(name, rows(**{**GOOD, **changed}), teachers, (90, 82))
    return {criterion.what: criterion for criterion in judged}


def failed(found):
    return [what for what, criterion in found.items() if criterion.passed is False]


def test_a_good_encoder_meets_all_criteria(shipped):
    found = outcomes(shipped)
    assert all(criterion.passed for criterion in found.values())
    assert found["mean, linear"].found == "93.0"
    assert found["tasks below Untrained or log-mel statistics, linear"].found == "1 (NPI)"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"int8__window": ((0.95, 0.84), (0.9, 0.8))}, "mean, linear"),
        ({"int8__window": ((0.95, 0.91), (0.8, 0.7))}, "mean, nearest"),
        ({"whisper_tiny": ((0.9, 0.9), (0.9, 0.9))}, "means, linear / nearest, above whisper_tiny"),
        ({"untrained": ((0.96, 0.92), (0.6, 0.6))}, "tasks below Untrained or log-mel"),
        ({"int8__streaming": ((0.9, 0.9), (0.9, 0.79))}, "streaming less window, linear"),
    ],
)
def test_each_criterion_can_fail(shipped, changed, what):
    assert any(name.startswith(what) for name in failed(outcomes(shipped, **changed)))


def test_learning_alone_must_gain_four_points(shipped):
    name = "pretrained_self_supervised"
    assert not failed(outcomes(shipped, name, ()))
    found = outcomes(shipped, name, (), untrained=((0.9, 0.9), (0.8, 0.8)))
    assert failed(found) == ["mean less that of Untrained, linear"]
    assert found["mean less that of Untrained, linear"].found == "+3.0"


def test_what_was_not_measured_is_not_passed(shipped):
    one = rows(int8__window=GOOD["int8__window"])
    judged = shipped.criteria("pretrained", one, ("whisper_tiny",), (90, 82))
    unknown = [criterion for criterion in judged if criterion.passed is None]
    assert len(unknown) == 4  # the teacher, the tasks, two of streaming
    assert {criterion.found for criterion in unknown} == {"not measured"}

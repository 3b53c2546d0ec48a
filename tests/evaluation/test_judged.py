"""What was judged before a kill is not judged again."""

import json

import pytest

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.judged import Judged

SETTINGS = {"seed": 1, "few": (None, 5), "data": ["digest"]}


def judge_all(path, settings=SETTINGS, fails_at=None):
    """Rows of four keys; the keys that were judged in this call."""
    judged, called = Judged(path, settings), []

    def judge(i):
        if i == fails_at:
            raise RuntimeError
        called.append(i)
        return [{"accuracy": i / 3, "replicas": [0.1 + 0.2]}, {"task": None}]

    rows = [judged.rows(("linear", (None, i)), lambda i=i: judge(i)) for i in range(4)]
    return rows, called


def test_rows_are_judged_once(tmp_path):
    want, called = judge_all(None)
    assert called == [0, 1, 2, 3]
    path = tmp_path / "kept"
    with pytest.raises(RuntimeError):
        judge_all(path, fails_at=2)
    with path.open("a") as file:
        file.write('{"key": "[\\"linear\\", [null, 2]]", "rows": [{"accur')  # cut by a kill
    assert judge_all(path) == (want, [2, 3])
    assert judge_all(path) == (want, [])
    assert len(path.read_text().splitlines()) == 5


def test_results_of_other_settings_are_refused(tmp_path):
    path = tmp_path / "kept"
    with pytest.raises(RuntimeError):
        judge_all(path, fails_at=1)
    before = path.read_text()
    other = {**SETTINGS, "seed": 2, "data": []}
    with pytest.raises(A2vError, match=r"kept' holds results with other settings \(seed, data\): "):
        Judged(path, other)
    assert path.read_text() == before


def test_other_settings_are_no_matter_before_the_first_result(tmp_path):
    path = tmp_path / "kept"
    Judged(path, {"seed": 0})
    Judged(path, SETTINGS)
    assert json.loads(path.read_text()) == {"settings": json.loads(json.dumps(SETTINGS))}

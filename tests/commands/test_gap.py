"""`a2v_gap`: distances that a temporal_gap model estimates."""

import numpy as np
import pytest
import soundfile

from a2v_tf.errors import A2vError
from a2v_tf.evaluation.gap import estimate, greatest
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.training.trained_task import first_sample, open_task
from tests.conftest import run_command
from tests.tiny_models import write_model

RATE = 16_000


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("gap")
    write_model(directory, "temporal_gap")
    return directory


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("audio") / "three_seconds.wav"
    noise = np.random.default_rng(0).standard_normal(3 * RATE)
    soundfile.write(path, 0.2 * noise * np.linspace(0.05, 1, 3 * RATE), RATE)
    return path


def slices_at(pcm, *starts):
    length = FRONT_END.samples(32)
    return log_mel(np.stack([pcm[start : start + length] for start in starts])).numpy()


@pytest.mark.parametrize(
    "names",
    [["temporal_gap"], ["cbow", "temporal_gap", "triplet"], ["arrow_of_time", "temporal_gap"]],
    ids="+".join,
)
def test_the_mean_over_both_orders(names, recording, tmp_path):
    model = write_model(tmp_path, *names)
    pcm, _ = soundfile.read(recording, dtype="float32")
    x, y = slices_at(pcm, 1_000, 20_000)
    places = {1: 0, 3: 2, 2: 1}[
        len(names)
    ]  # behind the two surrounding slices, or the backward one
    slices = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    slices[:, places : places + 2] = [[x, y], [y, x]]
    normalised = np.asarray(model.predict_on_batch(slices)["temporal_gap"])
    assert abs(normalised[0] - normalised[1]) > 1e-4  # the head itself is not symmetric

    task = open_task(tmp_path, ["temporal_gap"])
    assert greatest(task, 998) == pytest.approx(1.0)
    assert estimate(task, pcm, 1_000, 20_000) == pytest.approx(normalised.mean(), rel=1e-4)
    assert estimate(task, pcm, 20_000, 1_000) == estimate(task, pcm, 1_000, 20_000)


def test_half_of_the_greatest_distance(recording, tmp_path):
    """An output of 0.5 is half of N_max - N frames of 10 ms."""
    model = write_model(tmp_path, "temporal_gap")
    output = model.get_layer("temporal_gap_output")
    output.set_weights([np.zeros_like(weights) for weights in output.get_weights()])
    model.save(tmp_path / "model.keras")
    pcm, _ = soundfile.read(recording, dtype="float32")
    assert estimate(open_task(tmp_path, ["temporal_gap"]), pcm, 0, 9_000) == pytest.approx(0.5)


def test_command(model_dir, recording):
    flags = [f"--model_dir={model_dir}", f"--audio={recording}"]
    out = run_command("a2v_gap", *flags, "--first=2.4", "--second=0.15", here=True).stdout
    estimated, true, note = out.splitlines()
    assert 0 <= float(estimated.removeprefix("estimated distance:").removesuffix("s")) <= 1
    assert true.split() == ["true", "distance:", "2.25", "s"]
    assert "trained on distances of 0 to 1.00 s only (N_max = 132 frames)" in note
    for bad, message in (
        (["--second=2.9"], "--second=2.9: the recording lasts 3.00 s, so expected 0 to 2.665"),
        (["--second=1", "--audio=/no/such.wav"], "/no/such.wav: no such file"),
        (["--second=1", "--model_dir=/no/such"], "'/no/such': expected a directory made by"),
    ):
        run = run_command("a2v_gap", *flags, "--first=1", *bad, fails=True)
        last = run.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert message in last
        assert "Traceback" not in run.stderr


@pytest.mark.parametrize("seconds", [-0.1, 2.7, 1e9, float("nan"), float("inf")])
def test_slices_outside_the_recording(seconds):
    with pytest.raises(A2vError, match=r"--first=.*lasts 3.00 s, so expected 0 to 2.665"):
        first_sample("first", seconds, np.zeros(3 * RATE), frames=32)


def test_where_a_stretch_begins():
    pcm = np.zeros(3 * RATE)
    assert first_sample("at", 2.665, pcm, frames=32) == 42_640 == 3 * RATE - FRONT_END.samples(32)
    assert first_sample("at", 1.0, pcm, frames=100, frames_before=34) == RATE - 34 * 160
    with pytest.raises(A2vError, match=r"lasts 0.20 s: expected at least 0.335 s"):
        first_sample("at", 0.0, np.zeros(3_200), frames=32)


def test_models_of_other_tasks(model_dir, tmp_path):
    for settings, message in (
        ({"task": "cbow"}, "was trained on cbow: expected a model of temporal_gap"),
        ({"task": "multi_head", "heads": ["cbow", "triplet"]}, "was trained on cbow, triplet"),
        ({"task": "supervised"}, "was trained on supervised"),
    ):
        write_model(tmp_path, "temporal_gap", **settings)
        with pytest.raises(A2vError, match=message):
            open_task(tmp_path, ["temporal_gap"])
    with pytest.raises(A2vError, match="expected a directory made by a2v_train"):
        open_task("/no/such/model", ["temporal_gap"])

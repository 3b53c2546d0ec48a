"""`a2v_reconstruct`: the slices that a model predicts, as numbers, picture and sound."""

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from a2v_tf.audio.read import read_audio
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.reconstruction import Reconstruction, reconstruct, write_sounds
from a2v_tf.evaluation.settings import RECONSTRUCTING
from a2v_tf.frontend import FRONT_END, log_mel
from a2v_tf.reporting.reconstruction_plot import bin_of, figure
from a2v_tf.training.trained_task import open_task
from tests.conftest import run_command
from tests.tiny_models import write_model

RATE = 16_000
N = 32


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("audio") / "three_seconds.wav"
    time = np.arange(3 * RATE) / RATE
    sweep = np.sin(2 * np.pi * (200 + 400 * time) * time)
    noise = np.random.default_rng(0).standard_normal(len(time))
    soundfile.write(path, 0.2 * sweep + 0.02 * noise, RATE)
    return path


def frames_at(pcm, sample, count):
    return log_mel(pcm[sample : sample + FRONT_END.samples(count)]).numpy()


@pytest.mark.parametrize("others", [[], ["temporal_gap", "arrow_of_time"]], ids=["alone", "heads"])
@pytest.mark.parametrize("name", RECONSTRUCTING)
def test_inputs_and_predictions(name, others, recording, tmp_path):
    """The slices are cut with NumPy, and put where the model's input has them."""
    model = write_model(tmp_path, *others, name)
    pcm = read_audio(recording)
    at = 24_003  # samples: no multiple of a frame
    before, middle, after = (frames_at(pcm, at + p * 34 * 160, N) for p in (-1, 0, 1))
    inputs, true = {
        "cbow": ([before, after], [middle]),
        "skip_gram": ([middle], [before, after]),
        "autoencoder": ([middle], [middle]),
    }[name]
    slices = np.random.default_rng(1).normal(size=(1, *model.input_shape[1:])).astype(np.float32)
    slices[0, -len(inputs) :] = inputs
    want = np.asarray(model.predict_on_batch(slices)[name])[0]

    result = reconstruct(open_task(tmp_path, [name]), pcm, at / RATE)
    np.testing.assert_allclose(result.slices, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        [result.truth[i : i + N] for i in result.predicted], true, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        [result.truth[i : i + N] for i in result.inputs], inputs, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        result.errors, np.mean(np.square(want - true), axis=(1, 2)), rtol=1e-3
    )
    assert result.start * RATE + 160 * result.inputs[0] == pytest.approx(
        at - (34 * 160 if name == "cbow" else 0)
    )


def skip_gram_result(loudness=0.0):
    """One input slice, one predicted on each side, 2 frames between them."""
    rng = np.random.default_rng(0)
    truth = rng.normal(loudness, 0.3, (100, 64)).astype(np.float32)
    slices = rng.normal(loudness, 0.3, (2, N, 64)).astype(np.float32)
    return Reconstruction("skip_gram", 0.5, truth, [34], [0, 68], slices)


def test_the_whole_prediction_has_no_holes():
    result = skip_gram_result()
    whole = result.without_gaps()
    np.testing.assert_array_equal(whole[:N], result.slices[0])
    np.testing.assert_array_equal(whole[34:66], result.truth[34:66])
    np.testing.assert_array_equal(whole[68:], result.slices[1])
    step = (result.truth[34] - result.slices[0, -1]) / 3
    np.testing.assert_allclose(whole[32], result.slices[0, -1] + step, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(whole[33], result.truth[34] - step, rtol=1e-5, atol=1e-5)
    cbow = Reconstruction("cbow", 0.5, result.truth, [0, 68], [34], result.slices[:1])
    np.testing.assert_array_equal(cbow.without_gaps(), result.slices[0])


@pytest.mark.parametrize("loudness", [0.0, 4.0])
def test_sounds(loudness, tmp_path):
    """As many samples as the slices span, at one gain that lets nothing clip."""
    pcm = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    paths = write_sounds(skip_gram_result(loudness), pcm, tmp_path / "mine")
    assert [path.rsplit("/", 1)[-1] for path in paths] == [
        "mine_original.wav",
        "mine_truth.wav",
        "mine_prediction.wav",
    ]
    sounds = [soundfile.read(path, dtype="float32")[0] for path in paths]
    assert {sound.shape for sound in sounds} == {(FRONT_END.samples(100),)}
    peak = max(np.abs(sound).max() for sound in sounds)
    want = pcm[RATE // 2 :][: FRONT_END.samples(100)]
    gain = np.vdot(sounds[0], want) / np.vdot(want, want)
    np.testing.assert_allclose(sounds[0], gain * want, atol=2e-4)
    if loudness:
        assert gain < 0.9
        assert peak == pytest.approx(0.99, abs=1e-3)
    else:
        assert gain == pytest.approx(1.0, abs=1e-3)
        assert peak < 0.99


def test_ticks_stand_at_their_bins():
    """A sine's loudest bin is the one that the axis shows at its frequency."""
    time = np.arange(RATE) / RATE
    for hz in (125, 500, 1_000, 2_000, 4_000, 7_000):
        loudest = log_mel(np.sin(2 * np.pi * hz * time).astype(np.float32)).numpy().mean(0).argmax()
        assert abs(bin_of(hz) - loudest) < 0.8


def test_the_picture(tmp_path):
    """Both rows show the same scale of colours and of time, and what is unknown stays blank."""
    drawn = figure(skip_gram_result(), "one $ is no formula$.wav")
    above, below, _ = drawn.axes
    images = [axes.images[0] for axes in (above, below)]
    assert images[0].get_clim() == images[1].get_clim()
    assert images[0].get_extent() == images[1].get_extent()
    assert images[0].get_extent()[:2] == pytest.approx((0.5 + 0.0075, 0.5 + 0.0075 + 1.0))
    blank = np.isnan(images[1].get_array().filled(np.nan)).all(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(blank), [32, 33, 66, 67])
    texts = [text.get_text().split(" (")[0] for text in below.texts]
    assert texts == ["input", "predicted", "predicted"]
    drawn.savefig(tmp_path / "picture.png")
    assert imread(tmp_path / "picture.png").std() > 0.1


def test_command(recording, tmp_path):
    write_model(tmp_path, "temporal_gap", "cbow", "skip_gram")
    flags = [f"--model_dir={tmp_path}", f"--audio={recording}", f"--output={tmp_path}/out"]
    out = run_command("a2v_reconstruct", *flags, "--at=1.2", "--head=skip_gram", here=True).stdout
    assert out.startswith("skip_gram: mean squared error ")
    names = {path.name for path in tmp_path.glob("out*")}
    assert names == {"out.png", "out_original.wav", "out_truth.wav", "out_prediction.wav"}
    assert all(str(tmp_path / name) in out for name in names)
    for bad, message in (
        (["--at=2.9"], "--at=2.9: the recording lasts 3.00 s, so expected 0.34 to 2.325"),
        (["--at=1", "--head=autoencoder"], "expected a model of autoencoder"),
        (["--at=1", "--audio=/no/such.wav"], "/no/such.wav: no such file"),
        (["--at=1", "--model_dir=/no/such"], "'/no/such': expected a directory made by a2v_train"),
        (
            ["--at=1", "--output=/no/such/out"],
            "--output='/no/such/out.png': no directory '/no/such'",
        ),
    ):
        run = run_command("a2v_reconstruct", *flags, *bad, fails=True)
        last = run.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert message in last
        assert "Traceback" not in run.stderr


def test_bad_input(recording, tmp_path):
    write_model(tmp_path, "cbow")
    task = open_task(tmp_path, list(RECONSTRUCTING))
    for pcm, at, message in (
        (np.zeros(RATE // 2, np.float32), 0.1, "lasts 0.50 s: expected at least 1.015 s"),
        (read_audio(recording), 0.3, r"--at=0.3: .* expected 0.34 to 2.325"),
        (read_audio(recording), float("nan"), "--at=nan"),
    ):
        with pytest.raises(A2vError, match=message):
            reconstruct(task, pcm, at)
    with pytest.raises(A2vError, match="was trained on cbow: expected a model of skip_gram"):
        open_task(tmp_path, ["skip_gram"])

import csv
import hashlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from a2v_tf.audio import decode
from a2v_tf.data import decode_tfio, sampling
from a2v_tf.data.sources import one_line_errors, open_source
from a2v_tf.errors import A2vError
from tests.data.conftest import frame_numbers, frame_of

NEEDED = 400  # one frame


def _take(source, count: int, samples: int = NEEDED, seed: int = 1, round_index: int = 0):
    crops = source.crops(samples, seed=seed, round_index=round_index).take(count)
    return [pcm for pcm, _ in crops.as_numpy_iterator()]


def test_every_position_of_short_and_long_files_is_equally_likely(write, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "STRATUM", 2)  # for epochs of more than one draw
    write("short", frame_numbers(7))
    write("sub/long", 1000 + frame_numbers(60))
    source = open_source(str(tmp_path))
    starts = np.array([frame_of(crop) for crop in _take(source, 3_000)])
    values, counts = np.unique(starts, return_counts=True)
    np.testing.assert_array_equal(values, [*range(5), *range(1000, 1058)])
    assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_places_say_where_in_its_file_a_crop_is(write, tmp_path):
    lengths = {"a": 9, "b": 30}
    for name, frames in lengths.items():
        write(name, frame_numbers(frames) + (1000 if name == "b" else 0))
    source = open_source(str(tmp_path))
    crops = source.crops(NEEDED, seed=1, round_index=0, places=True).take(200)
    seen = set()
    for pcm, clip, (k, n, first) in crops.as_numpy_iterator():
        positions = sampling.positions_in(160 * list(lengths.values())[clip], NEEDED)
        assert (n, first) == (positions, 0)
        assert frame_of(pcm) == 1000 * clip + k
        seen.add((int(clip), int(k)))
    assert len(seen) == sum(sampling.positions_in(160 * x, NEEDED) for x in lengths.values())
    plain = source.crops(NEEDED, seed=1, round_index=0).take(20).as_numpy_iterator()
    for (pcm, clip), (same, same_clip, _) in zip(plain, crops.as_numpy_iterator(), strict=False):
        np.testing.assert_array_equal(pcm, same)
        assert clip == same_clip


def test_crops_are_slices_of_the_files(write, noise, tmp_path):
    files = {name: noise(30_000, seed) for seed, name in enumerate("abc")}
    for name, pcm in files.items():
        write(name, pcm)
    for crop in _take(open_source(str(tmp_path)), 30, samples=16_000):
        assert crop.dtype == np.float32
        assert crop.shape == (16_000,)
        assert any(
            np.array_equal(crop, pcm[start : start + 16_000].astype(np.float32) / 32_768)
            for pcm in files.values()
            for start in range(0, 14_001, 160)
        )


def test_crops_have_the_number_of_their_clip(write, tmp_path):
    """Two crops have the same clip number if and only if they are from the same recording."""
    for i, frames in enumerate((40, 2, 90)):
        write(f"{i}", 1000 * i + frame_numbers(frames))
    source = open_source(str(tmp_path), max_bad_fraction=0.5)
    crops = source.crops(NEEDED, seed=1, round_index=0).take(400)
    drawn = {(frame_of(pcm) // 1000, int(clip)) for pcm, clip in crops.as_numpy_iterator()}
    assert drawn == {(0, 0), (2, 2)}  # file 1 is too short


_FINGERPRINT = """
import hashlib, sys
from a2v_tf.data.sources import open_source
crops = open_source(sys.argv[1]).crops(1600, seed=3, round_index=2).take(30)
print(hashlib.sha256(b"".join(c.tobytes() for c, _ in crops.as_numpy_iterator())).hexdigest())
"""


def test_the_stream_is_the_same_in_another_process_and_in_flat_map(write, noise, tmp_path):
    for seed in range(4):
        write(f"{seed}", noise(16_000 * (seed + 1), seed))
    other = subprocess.run(
        [sys.executable, "-c", _FINGERPRINT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    source = open_source(str(tmp_path))
    rounds = tf.data.Dataset.range(2, 9).flat_map(
        lambda index: source.crops(1600, seed=3, round_index=index).take(30)
    )
    here = [pcm for pcm, _ in rounds.take(60).as_numpy_iterator()]
    digest = hashlib.sha256(b"".join(crop.tobytes() for crop in here[:30])).hexdigest()
    assert other.stdout.strip() == digest
    np.testing.assert_array_equal(here[30:], _take(source, 30, 1600, 3, 3))
    assert not np.array_equal(here[:30], here[30:])
    assert not np.array_equal(here[:30], _take(source, 30, 1600, 4, 2))


def test_epochs_differ(write, noise, tmp_path):
    write("a", noise(16_000 * 60))
    epoch = 60 * 100 // sampling.STRATUM
    crops = _take(open_source(str(tmp_path)), 2 * epoch)
    assert len({crop.tobytes() for crop in crops}) == 2 * epoch


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "opus"])
def test_all_formats_rates_and_channels(write, tmp_path, kind):
    t = np.arange(48_000) / 24_000
    pcm = (0.3 * np.sin(2 * np.pi * 1_000 * t)).astype(np.float32)
    write("deep/er/a", np.stack([pcm, pcm], axis=1), 24_000, kind)
    crop = _take(open_source(str(tmp_path)), 1, samples=16_000)[0]
    assert np.argmax(np.abs(np.fft.rfft(crop))) == 1_000
    assert np.abs(crop).max() == pytest.approx(0.3, abs=0.03)


def test_overshoot_is_clipped(write, tmp_path):
    write("a", np.full(4_000, 1.5, np.float32), kind="wavfloat")
    assert _take(open_source(str(tmp_path)), 1)[0].max() == 1.0


def test_skipped_files_are_logged_counted_and_listed(write, noise, tmp_path, caplog):
    audio = tmp_path / "audio"
    write("audio/good", noise(16_000 * 30))
    write("audio/short", noise(500))
    write("audio/nothing", np.zeros(0, np.int16))
    flat = write("audio/flat", np.zeros(16_000 * 30, np.int16))
    nan = np.full(16_000 * 30, np.nan, np.float32)
    write("audio/nan", nan, kind="wavfloat")
    write("audio/integers", noise(16_000 * 30).astype(np.float32), kind="wavfloat")
    (audio / "text.mp3").write_text("no audio")
    (audio / "empty.flac").write_bytes(b"")
    (audio / ".hidden.wav").write_bytes(b"")
    cut = write("audio/cut", noise(16_000 * 30), kind="flac")
    cut.write_bytes(cut.read_bytes()[:50_000])
    source = open_source(str(audio), max_bad_fraction=0.9, log_dir=tmp_path / "log")
    assert source.describe().startswith(f"{audio}: 9 files, 0.0")
    source.check(1600)
    for crop in _take(source, 200, samples=1600):
        assert np.isfinite(crop).all()
        assert np.abs(crop).max() > 0.1
    with (tmp_path / "log" / "bad_files.csv").open() as file:
        reasons = {pathlib.Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {
        *("short.wav", "nothing.wav", "nan.wav", "integers.wav", "text.mp3", "empty.flac"),
        "cut.flac",
    }
    assert reasons["short.wav"] == "is too short: 0.03 s, a crop needs 0.10 s"
    assert reasons["empty.flac"] == "is empty"
    assert "NaN" in reasons["nan.wav"]
    assert "expected [-1, 1]" in reasons["integers.wav"]
    assert len(source.bad) == 7
    assert source.describe().endswith("7 skipped")
    for name in [*reasons, flat.name]:
        assert sum(f"/{name}" in record.getMessage() for record in caplog.records) == 1, name


def test_too_many_bad_headers_are_an_error_on_opening(write, noise, tmp_path):
    for index in range(9):
        write(f"{index}", noise(16_000))
    (tmp_path / "bad.wav").write_bytes(b"")
    open_source(str(tmp_path), max_bad_fraction=0.1)
    with pytest.raises(A2vError, match=r"^1 of 10 files cannot be used.*0\.05.*bad.wav: is empty"):
        open_source(str(tmp_path), max_bad_fraction=0.05)


def test_too_many_bad_files_stop_the_stream_with_one_line(write, noise, tmp_path):
    write("good", noise(16_000 * 20))
    write("bad", np.full(16_000 * 20, np.nan, np.float32), kind="wavfloat")
    source = open_source(str(tmp_path))
    source.check(NEEDED)
    with pytest.raises(A2vError, match=r"^1 of 2 files.*bad.wav: has NaN") as error:  # noqa: SIM117
        with one_line_errors(source):
            _take(source, 100)
    assert "\n" not in str(error.value)
    with pytest.raises(tf.errors.UnknownError), one_line_errors(open_source(str(tmp_path))):
        raise tf.errors.UnknownError(None, None, "something else")


def test_a_silent_corpus_is_an_error_and_does_not_hang(write, tmp_path):
    write("a", np.zeros(16_000 * 20, np.int16))
    write("b", np.zeros(44_100 * 20, np.int16), 44_100, "mp3")
    source = open_source(str(tmp_path))
    with pytest.raises(A2vError, match="a whole epoch gave no usable crop"):  # noqa: SIM117
        with one_line_errors(source):
            _take(source, 1)
    assert len(source.bad) == 0


def test_files_shorter_than_a_crop_are_an_error(write, noise, tmp_path):
    write("a", noise(16_000))
    with pytest.raises(A2vError, match=r"is too short: 1.00 s, a crop needs 1.25 s"):
        open_source(str(tmp_path)).check(20_000)
    with pytest.raises(A2vError, match=r"none of \d+ files can be used \(.*short"):
        open_source(str(tmp_path), max_bad_fraction=1.0).check(20_000)


def test_directories_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    file = tmp_path / "notes.txt"
    file.write_text("not audio")
    for data, reason in [
        (tmp_path / "missing", "does not exist"),
        (file, "is not a directory"),
        (tmp_path / "empty", "no audio files"),
        (tmp_path, "no audio files.*flac.*wav"),
    ]:
        with pytest.raises(A2vError, match=reason) as error:
            open_source(str(data))
        assert str(data) in str(error.value)
        assert "\n" not in str(error.value)


def test_options_are_checked(write, noise, tmp_path):
    write("a", noise(16_000))
    with pytest.raises(A2vError, match="max_bad_fraction=2: expected"):
        open_source(str(tmp_path), max_bad_fraction=2)
    with pytest.raises(A2vError, match="decoder='sox': expected one of auto, soundfile, tfio"):
        open_source(str(tmp_path), decoder="sox")


def test_links_are_followed_but_not_in_circles(write, noise, tmp_path):
    write("real/a", noise(16_000))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "up").symlink_to(tmp_path / "data")
    assert "1 files" in open_source(str(tmp_path / "data")).describe()


def test_tfio_that_cannot_be_loaded_is_an_error_of_one_line(write, noise, tmp_path):
    if not decode_tfio.why_not_available():
        pytest.skip("tensorflow-io can be loaded here")
    write("a", noise(16_000))
    with pytest.raises(A2vError, match=r"decoder=tfio: .*decoder=soundfile") as error:
        open_source(str(tmp_path), decoder="tfio")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_tfio_gives_the_same_crops(write, tmp_path, rate, monkeypatch):
    if reason := decode_tfio.why_not_available():
        pytest.skip(reason)
    t = np.arange(rate * 6) / rate
    pcm = sum(0.1 * np.sin(2 * np.pi * f * t + f) for f in (200, 1_000, 3_000)).astype(np.float32)
    for kind in ("wav", "flac", "ogg", "mp3"):
        write(kind, np.stack([pcm, pcm], axis=1), rate, kind)
    expected = _take(open_source(str(tmp_path), decoder="soundfile"), 12, samples=20_000)

    def refuse(*args):
        raise AssertionError("read by soundfile")

    monkeypatch.setattr(decode, "read", refuse)
    found = _take(open_source(str(tmp_path), decoder="tfio"), 12, samples=20_000)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5)


def test_tfio_leaves_other_formats_and_bad_files_to_soundfile(write, noise, tmp_path):
    if reason := decode_tfio.why_not_available():
        pytest.skip(reason)
    write("a", noise(16_000 * 10))
    write("b", noise(48_000 * 10), 48_000, "opus")
    cut = write("cut", noise(16_000 * 10), kind="flac")
    cut.write_bytes(cut.read_bytes()[:50_000])
    write("nan", np.full(16_000 * 10, np.nan, np.float32), kind="wavfloat")
    sources = [
        open_source(str(tmp_path), decoder=decoder, max_bad_fraction=0.9)
        for decoder in ("tfio", "soundfile")
    ]
    tfio, soundfile = [_take(source, 40, samples=16_000) for source in sources]
    np.testing.assert_allclose(tfio, soundfile, rtol=0, atol=1e-6)
    assert [len(source.bad) for source in sources] == [2, 2]


def test_antiphase_is_counted_unless_a_channel_is_chosen(write, noise, tmp_path):
    pcm = noise(16_000 * 20)
    for name in "abc":
        write(name, noise(16_000 * 20, ord(name)))
    write("opposite", np.stack([pcm, -pcm], axis=1))
    source = open_source(str(tmp_path), max_bad_fraction=0.5)
    _take(source, 60, samples=16_000)
    assert len(source.bad) == 1
    assert str(tmp_path / "opposite.wav") in source.bad
    for channels in ("left", "loudest"):
        source = open_source(str(tmp_path), max_bad_fraction=0.0, channels=channels)
        _take(source, 60, samples=16_000)
        assert not len(source.bad)


def test_names_that_are_not_utf_8_are_listed(write, noise, tmp_path):
    write("audio/good", noise(16_000 * 20))
    write("audio/bad", noise(500)).rename(tmp_path / "audio" / "caf\udce9.wav")
    source = open_source(str(tmp_path / "audio"), max_bad_fraction=0.5, log_dir=tmp_path / "log")
    source.check(1600)
    assert r"""caf\xe9.wav,"is too short""" in (tmp_path / "log" / "bad_files.csv").read_text()

"""`a2v_stream`: files, standard input and a microphone that is none; ten hours of sound."""

import io
import json
import pathlib
import subprocess
import sys
import threading
import tracemalloc
import types

import keras
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.audio import live
from a2v_tf.audio.live import raw_blocks
from a2v_tf.audio.read import audio_blocks, read_audio
from a2v_tf.commands.stream import StreamEmbedder, json_line
from a2v_tf.errors import A2vError
from a2v_tf.evaluation.saved_heads import Head, HeadOrigin, HeadStore, weights_key
from a2v_tf.evaluation.settings import Few
from a2v_tf.export import flatbuffer as fb
from a2v_tf.export.build import export_file
from a2v_tf.export.check import probe_signal
from a2v_tf.frontend import FRONT_END
from a2v_tf.models.encoder import build_encoder
from a2v_tf.runtime.classifier import Classifier
from a2v_tf.runtime.embedder import Embedder
from a2v_tf.runtime.nearest import Examples, embed_examples
from a2v_tf.runtime.stream_picture import StreamPicture
from a2v_tf.specs import ENCODERS, InputStats
from a2v_tf.training.model_dir import load_encoder, write_config
from tests.conftest import command, run_command, run_here
from tests.export.conftest import randomise_batch_norm

STATS = InputStats(-1.0, 4.0)
HOP, SPAN = 5_120, 15_600
# What one embedding can depend on: 96 frames, 62 before them through the padding of the five
# convolutions, and two frames at a fresh start that hear the silence before it: 160 frames.
REACH = 25_600
FORMS = {
    "internal": {},
    "external": {"state": "external"},
    "every_80_ms": {"hop_ms": 80},
    "log_mel": {"input": "log_mel"},
    "window": {"mode": "window"},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """int8 files by form."""
    directory = tmp_path_factory.mktemp("model")
    keras.utils.set_random_seed(0)
    encoder = build_encoder(ENCODERS["small"], 96, 64, STATS)
    randomise_batch_norm(encoder)
    encoder.save(directory / "encoder.keras")
    config = {"encoder": "small", "frames": 96, "bins": 64, "front_end": vars(FRONT_END)}
    config |= {"input_mean": STATS.mean, "input_variance": STATS.variance}
    write_config(directory, config)
    slices = np.random.default_rng(1).normal(STATS.mean, 2.0, (16, 96, 64)).astype(np.float32)
    files = {name: directory / f"{name}.tflite" for name in FORMS}
    for name, flags in FORMS.items():
        export_file(directory, files[name], quantize=True, calibration=slices, **flags)
    return files


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Four seconds of bursts, sweep and silence, 16 bit."""
    path = tmp_path_factory.mktemp("sound") / "sound.wav"
    soundfile.write(path, probe_signal(64_000), 16_000)
    return path


@pytest.fixture(scope="module")
def examples_dir(tmp_path_factory):
    """Hums of two seconds, a short click, and a file without a label."""
    directory = tmp_path_factory.mktemp("examples")
    time = np.arange(32_000) / 16_000
    click = np.random.default_rng(0).normal(0, 0.3, 3_000) * np.exp(-np.arange(3_000) / 500)
    for name, pcm in {
        "hum/low.wav": 0.3 * np.sin(2 * np.pi * 110 * time),
        "hum/deep/high.flac": 0.3 * np.sin(2 * np.pi * 440 * time),
        "click/click.wav": click,
        "no_label.wav": click,
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, pcm, 16_000)
    return directory


def hear(model, blocks, examples=None):
    listener = StreamEmbedder(Embedder(model), examples)
    return [heard for block in blocks for heard in listener.push(block)]


def vectors(heard):
    return np.stack([each.embedding for each in heard])


def endless(start, samples):
    """Part of a sound that has no end and no period that hops divide, float32 `[samples]`."""
    tile = endless.tile
    return tile[np.arange(start, start + samples) % len(tile)]


endless.tile = np.round(probe_signal(163_841) * 32_767).astype(np.int16).astype(np.float32) / 32_768


@pytest.fixture(scope="module")
def classifier(models, tmp_path_factory):
    """A classifier of the same encoder, with two labels."""
    directory = models["internal"].parent
    encoder = load_encoder(directory)
    weights = np.random.default_rng(0).normal(0, 0.1, (encoder.output_shape[-1], 2))
    embeddings = encoder.predict(np.zeros((2, 96, 64)), verbose=0)
    origin = HeadOrigin("a", "linear", "none", Few(), {"encoder": weights_key(encoder)})
    store = HeadStore(tmp_path_factory.mktemp("heads"), {})
    store.save(origin, Head(("hum", "click"), ((weights, np.zeros(2)),)), 1.0, embeddings)
    output = store.directory / "classifier.tflite"
    slices = np.zeros((2, 96, 64), np.float32)
    options = {"part": "classifier", "head": store.directory / origin.name}
    export_file(directory, output, quantize=True, calibration=slices, **options)
    return output


# Embeddings and their times ----------------------------------------------------------------------


def test_times_and_changes(models, sound):
    first, second, third, fourth, *_ = heard = hear(models["internal"], audio_blocks(sound))
    assert len(heard) == 64_000 // HOP
    assert [each.end_s for each in heard[:4]] == [0.32, 0.64, 0.96, 1.28]
    assert [first.start_s, third.start_s, fourth.start_s] == [0, 0, (4 * HOP - SPAN) / 16_000]
    assert first.change is None
    assert second.change == pytest.approx(
        np.sqrt(np.sum((second.embedding - first.embedding) ** 2)), rel=1e-6
    )


def test_changes_are_over_320_ms_at_every_hop(models, sound):
    slow, fast = (hear(models[form], audio_blocks(sound)) for form in ("internal", "every_80_ms"))
    assert [each.change for each in fast[:4]] == 4 * [None]
    assert [each.change for each in fast[7::4]] == [each.change for each in slow[1:]]


@pytest.mark.parametrize("form", ["external", "log_mel", "every_80_ms"])
def test_every_streaming_form_hears_the_same(models, sound, form):
    expected = hear(models["internal"], audio_blocks(sound))
    got = {each.end_s: each.embedding for each in hear(models[form], audio_blocks(sound))}
    assert len(got) == 64_000 // Embedder(models[form]).hop
    at_the_same_times = np.stack([got[each.end_s] for each in expected])
    if form == "log_mel":  # TensorFlow's front end rounds otherwise than the file's
        step = np.diff(np.unique(vectors(expected))).min()
        np.testing.assert_allclose(at_the_same_times, vectors(expected), atol=2.5 * step)
    else:
        np.testing.assert_array_equal(at_the_same_times, vectors(expected))


@pytest.mark.parametrize("form", ["internal", "external", "every_80_ms"])
def test_minutes_of_sound_end_as_a_fresh_stream_does_in_flat_memory(models, form):
    listener = StreamEmbedder(Embedder(models[form]))
    rng = np.random.default_rng(0)
    heard, position, started = None, 0, None
    tracemalloc.start()
    try:
        while position < 5 * 60 * 16_000:
            pcm = endless(position, int(rng.integers(1, 40_000)))
            position += len(pcm)
            for each in listener.push(pcm):
                heard = each
            if started is None and position > 60 * 16_000:
                started = tracemalloc.get_traced_memory()[0]
        grown = tracemalloc.get_traced_memory()[0] - started
    finally:
        tracemalloc.stop()
    assert grown < 300_000  # what waits for a hop, at most 40,000 samples, comes and goes
    end = round(heard.end_s * 16_000)
    assert 0 <= position - end < HOP
    *_, fresh = hear(models[form], [endless(end - REACH, REACH)])
    np.testing.assert_array_equal(heard.embedding, fresh.embedding)


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize("form", ["internal", "external"])
def test_ten_hours_of_sound_end_as_a_fresh_stream_does_in_flat_memory(models, form):
    seconds, warm_up = 10 * 3_600, 600
    stream = subprocess.Popen(
        [command("a2v_stream"), f"--model={models[form]}", "--audio=-", "--format=jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=False,
    )
    said = {"lines": 0, "last": b""}

    def listen():
        for line in stream.stdout:
            said["lines"] += 1
            said["last"] = line

    listening = threading.Thread(target=listen)
    listening.start()
    resident = {}
    for second in range(seconds):
        pcm = endless(16_000 * second, 16_000) * 32_768
        stream.stdin.write(pcm.astype("<i2").tobytes())
        if second in (warm_up, seconds - 1):
            resident[second] = resident_kb(stream.pid)
    stream.stdin.close()
    listening.join()
    summary = stream.stderr.read().decode()
    assert stream.wait() == 0, summary
    assert said["lines"] == seconds * 16_000 // HOP
    assert resident[seconds - 1] - resident[warm_up] < 4_000, resident
    assert f"{seconds:.2f} s of audio: {said['lines']} embeddings" in summary
    last = json.loads(said["last"])
    assert last["end_s"] == said["lines"] * HOP / 16_000
    end = said["lines"] * HOP
    *_, fresh = hear(models[form], [endless(end - REACH, REACH)])
    np.testing.assert_array_equal(np.float32(last["embedding"]), fresh.embedding)


def resident_kb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


# Where the sound comes from ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("a.wav", 16_000, 1), ("b.flac", 44_100, 2), ("c.ogg", 22_050, 1), ("d.mp3", 48_000, 2)],
)
def test_a_file_in_blocks_is_what_read_audio_gives(tmp_path, name, rate, channels):
    pcm = np.random.default_rng(0).normal(0, 0.1, (3 * rate + 1_234, channels))
    soundfile.write(tmp_path / name, pcm, rate)
    blocks = list(audio_blocks(tmp_path / name))
    assert 4 <= len(blocks) <= 5
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(tmp_path / name))


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "nan.wav", [0.0, np.nan], 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.wav", np.zeros(40_000), 16_000)
    (tmp_path / "cut.flac").write_bytes(b"")
    for name, message in {
        "missing.wav": "no such file",
        ".": "is a directory: expected an audio file",
        "text.wav": "text.wav: ",
        "nan.wav": "has NaN or infinite samples, 0 s after its start",
        "cut.flac": "is empty",
    }.items():
        with pytest.raises(A2vError, match=message):
            list(audio_blocks(tmp_path / name))


class Trickle(io.RawIOBase):
    """A pipe that gives as many bytes at a time as it was told."""

    def __init__(self, parts):
        self._parts = iter(parts)

    def read1(self, _):
        return next(self._parts, b"")

    def readinto1(self, buffer):
        part = self.read1(len(buffer))
        buffer[: len(part)] = part
        return len(part)


@given(samples=st.lists(st.integers(-32_768, 32_767), min_size=1), cuts=st.data())
@settings(deadline=None, max_examples=50)
def test_raw_samples_survive_any_cut(samples, cuts):
    content = np.array(samples, "<i2").tobytes()
    places = sorted(cuts.draw(st.sets(st.integers(1, len(content) - 1))))
    parts = [content[a:b] for a, b in zip([0, *places], [*places, None], strict=True)]
    got = np.concatenate(list(raw_blocks(Trickle(parts))))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got * 32_768, samples)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "standard input is empty: expected raw signed 16-bit"),
        (b"\0\0\0", "standard input ends with half a sample"),
        (b"RIFF....WAVEfmt ", "begins like a file .WAV.: expected raw .* ffmpeg -i FILE -f s16le"),
        (b"fLaC\0", "begins like a file .FLAC."),
    ],
)
def test_standard_input_that_is_no_raw_sound(content, message):
    with pytest.raises(A2vError, match=message):
        list(raw_blocks(io.BufferedReader(io.BytesIO(content))))


def test_standard_input_must_not_be_a_terminal():
    terminal = io.BytesIO(b"\0\0")
    terminal.isatty = lambda: True
    with pytest.raises(A2vError, match="standard input is a terminal"):
        list(raw_blocks(terminal))


class FakeSoundDevice(types.ModuleType):
    """PortAudio with a microphone that hears what it is given, at once, and then `ends`."""

    class PortAudioError(Exception):
        pass

    def __init__(self, pcm, rate=16_000, rates=(16_000,), ends=KeyboardInterrupt, overflows=()):
        super().__init__("sounddevice")
        self.pcm, self.rate, self.rates, self.ends = pcm, rate, rates, ends
        self.overflows = overflows

    def check_input_settings(self, samplerate, channels, dtype):
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate\n[PaErrorCode -9997]")

    def query_devices(self, kind):
        if not self.rate:
            raise ValueError("No input device\nmatching")
        return {"default_samplerate": float(self.rate)}

    def InputStream(self, samplerate, blocksize, channels, dtype, callback):  # noqa: N802
        assert (channels, dtype) == (1, "float32")
        fake = self

        class Stream:
            def start(self):
                for i, start in enumerate(range(0, len(fake.pcm), blocksize)):
                    status = types.SimpleNamespace(input_overflow=i in fake.overflows)
                    block = fake.pcm[start : start + blocksize, None]
                    callback(block, len(block), None, status)

            def close(self):
                fake.closed = True

            @property
            def active(self):
                if fake.ends is None:
                    return False
                raise fake.ends

        return Stream()


def use_microphone(monkeypatch, fake):
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_the_microphone_until_ctrl_c(monkeypatch, models, sound):
    pcm = read_audio(sound)
    fake = use_microphone(monkeypatch, FakeSoundDevice(pcm, overflows=[60, 61, 170]))
    run = run_here("a2v_stream", ["a2v_stream", f"--model={models['internal']}", "--format=jsonl"])
    assert run.returncode == 0
    assert fake.closed
    got = [json.loads(line) for line in run.stdout.splitlines()]
    expected = vectors(hear(models["internal"], [pcm]))
    np.testing.assert_array_equal(np.float32([each["embedding"] for each in got]), expected)
    assert "overrun 3: audio was lost after about 0 s" in run.stderr
    assert "overruns: 3; the times leave out what was lost" in run.stderr


def test_a_microphone_of_another_rate_is_resampled(monkeypatch, models, tmp_path):
    pcm = np.random.default_rng(0).normal(0, 0.1, 96_000).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", pcm, 48_000, subtype="FLOAT")
    expected = hear(models["internal"], audio_blocks(tmp_path / "x.wav"))
    use_microphone(monkeypatch, FakeSoundDevice(pcm, 48_000, [48_000], ends=None))
    blocks = []
    with (
        pytest.raises(A2vError, match="the microphone stopped"),
        live.Microphone() as microphone,
    ):
        blocks.extend(microphone)
    # The end of the sound is still in the resampler.
    got = hear(models["internal"], blocks)
    np.testing.assert_array_equal(vectors(got), vectors(expected)[: len(got)])
    assert len(got) in (len(expected) - 1, len(expected))


def test_sound_that_nobody_fetches_is_an_overrun(monkeypatch):
    use_microphone(monkeypatch, FakeSoundDevice(np.zeros(11 * 16_000, np.float32), ends=None))
    with live.Microphone() as microphone:
        assert microphone.overruns == 50  # of 550 blocks, 500 wait


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (None, "error: the microphone needs the package sounddevice: pip install sounddevice, or"),
        (FakeSoundDevice(np.zeros(0), 0, []), "error: cannot open a microphone: No input device m"),
    ],
)
def test_no_microphone(monkeypatch, models, fake, message):
    use_microphone(monkeypatch, fake)
    run = run_command("a2v_stream", f"--model={models['internal']}", fails=True)
    assert message in run.stderr
    assert one_error(run)


def test_no_portaudio(monkeypatch, models, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    run = run_command("a2v_stream", f"--model={models['internal']}", fails=True)
    assert "error: the microphone needs PortAudio: apt-get install libportaudio2" in run.stderr
    assert one_error(run)


def one_error(run):
    return "Traceback" not in run.stderr and run.stderr.count("error:") == 1


# Labelled examples -------------------------------------------------------------------------------


def test_examples_are_the_sub_folders_whole_windows(models, examples_dir):
    examples = embed_examples(examples_dir, Embedder(models["internal"]))
    # Two seconds hold whole windows at the ends of steps 3 to 7; the click is one embedding.
    assert examples.labels == ["click"] + 10 * ["hum"]
    assert examples.files == ["click/click.wav"] + 5 * ["hum/deep/high.flac"] + 5 * ["hum/low.wav"]
    low = read_audio(examples_dir / "hum/low.wav")
    padded = np.pad(low, (7 * HOP - len(low), 0))
    expected = vectors(hear(models["internal"], [padded]))[2:]
    np.testing.assert_array_equal(examples.embeddings[-5:], expected)


def test_an_example_is_its_own_nearest(models, examples_dir):
    embedder = Embedder(models["internal"])
    examples = embed_examples(examples_dir, embedder)
    nearest = examples.nearest(examples.embeddings[-1])
    assert (nearest.label, nearest.votes, nearest.of) == ("hum", 10, 10)
    assert (nearest.distance, nearest.example) == (0.0, "hum/low.wav")


def test_votes_count_more_than_distance_and_distance_decides_a_tie():
    embeddings = np.array([[0.0], [3.0], [4.0], [50.0]], np.float32)
    examples = Examples(embeddings, ["a", "b", "b", "a"], ["0", "1", "2", "3"])
    three = Examples(embeddings[:3], ["a", "b", "b"], ["0", "1", "2"])
    nearest = three.nearest(np.float32([1]))
    assert (nearest.label, nearest.votes, nearest.of, nearest.distance) == ("b", 2, 3, 2.0)
    tied = examples.nearest(np.float32([1]))
    assert (tied.label, tied.votes, tied.of, tied.distance, tied.example) == ("a", 2, 4, 1.0, "0")


# The picture -------------------------------------------------------------------------------------


def test_a_long_stream_keeps_a_bounded_picture_and_its_greatest_changes(tmp_path, monkeypatch):
    monkeypatch.setattr("a2v_tf.runtime.stream_picture._COLUMNS", 16)
    picture = StreamPicture()
    changes = np.ones(100)
    changes[[0, 37, 90]] = 9
    for i, each in enumerate(changes):
        picture.add(float(i + 1), np.full(4, i, np.float32), each, "ab"[i % 2])
        assert len(picture._columns) < 16
    columns = picture._columns
    steps = {later.end_s - earlier.end_s for earlier, later in zip(columns, columns[1:])}  # noqa: B905, RUF007
    assert steps == {8.0}
    assert [c.end_s for c in columns if c.change == 9] == [8.0, 40.0, 96.0]
    picture.save(tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_no_picture_of_nothing(tmp_path):
    with pytest.raises(A2vError, match="the stream has no embedding"):
        StreamPicture().save(tmp_path / "x.png")


# The command -------------------------------------------------------------------------------------


def test_command_prints_lines_to_look_at(models, sound, examples_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    flags = [f"--model={models['external']}", f"--audio={sound}", f"--examples={examples_dir}"]
    run = run_here("a2v_stream", ["a2v_stream", *flags, f"--plot={tmp_path}/x.png"])
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 12
    assert {len(line) for line in lines} == {90}
    assert lines[0].startswith("     0.32 s  change  0.00  ")
    assert all("/10 at " in line for line in lines)
    assert "4.00 s of audio: 12 embeddings of 128 numbers, one every 320 ms" in run.stderr
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_json_lines_keep_every_bit(models, sound, examples_dir):
    examples = embed_examples(examples_dir, Embedder(models["internal"]))
    heard = hear(models["internal"], audio_blocks(sound), examples)
    for each in heard:
        line = json.loads(json_line(each))
        np.testing.assert_array_equal(np.float32(line["embedding"]), each.embedding)
        assert line["nearest"]["label"] in ("hum", "click")
        assert line["end_s"] == each.end_s
    assert json.loads(json_line(heard[0]))["change"] is None


def test_a_sound_shorter_than_a_hop_is_told(models, monkeypatch):
    buffer = io.BufferedReader(io.BytesIO(bytes(2 * 1_600)))
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=buffer))
    run = run_here("a2v_stream", ["a2v_stream", f"--model={models['internal']}", "--audio=-"])
    assert (run.returncode, run.stdout) == (0, "")
    assert "0.10 s of audio, less than a hop of 320 ms: no embedding" in run.stderr


def test_closed_standard_input_and_a_full_disk(models, sound, monkeypatch):
    model = f"--model={models['internal']}"
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [command("a2v_stream"), model, f"--audio={sound}"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert run.returncode == 1
    assert run.stderr.endswith("error: cannot write the output: No space left on device\n")
    assert "Traceback" not in run.stderr
    monkeypatch.setattr(sys, "stdin", None)
    run = run_here("a2v_stream", ["a2v_stream", model, "--audio=-"])
    assert run.returncode == 1
    assert run.stderr == "error: --audio=-: standard input is closed\n"


def test_ctrl_c_in_a_file_ends_with_the_summary(models, monkeypatch):
    class Interrupted(Trickle):
        def read1(self, size):
            if part := super().read1(size):
                return part
            raise KeyboardInterrupt

    stdin = types.SimpleNamespace(buffer=Interrupted([bytes(2 * HOP)]))
    monkeypatch.setattr(sys, "stdin", stdin)
    run = run_here("a2v_stream", ["a2v_stream", f"--model={models['internal']}", "--audio=-"])
    assert run.returncode == 130
    assert len(run.stdout.splitlines()) == 1
    assert "0.32 s of audio: 1 embeddings" in run.stderr
    assert run.stderr.endswith("interrupted\n")


def test_a_live_pipe_and_a_reader_who_stops(models):
    stream = subprocess.Popen(
        [command("a2v_stream"), f"--model={models['internal']}", "--audio=-", "--format=jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stream.stdin.write(bytes(2 * HOP))
    stream.stdin.flush()
    assert json.loads(stream.stdout.readline())["end_s"] == 0.32  # the pipe is still open
    stream.stdout.close()
    stream.stdin.write(bytes(2 * HOP))
    stream.stdin.close()
    error = stream.stderr.read()
    assert stream.wait() == 0, error
    assert b"Traceback" not in error


def of_29_bands(content):
    """The same file, said to be of another front end."""
    from a2v_tf.export import metadata

    model = fb.read(content)
    facts = {"encoder": "small", "front_end": {"columns": [1, 2], "period": 0.125}}
    facts |= {"hop_ms": 320.0, "window_ms": 975.0, "mode": "streaming", "state": "internal"}
    metadata.attach(model, {**facts, "input": "log_mel", "quantized": True})
    return fb.write(model)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model={window}"], "takes single windows: expected a file of export_tflite --mode=str"),
        (["--model={bands}"], "takes spectrograms of 64 bands, no audio: expected a file of "),
        (["--model={tmp}/none.tflite"], "cannot read '{tmp}/none.tflite': No such file"),
        (["--audio={tmp}/none.wav"], "{tmp}/none.wav: no such file"),
        (["--examples={tmp}/none"], "--examples={tmp}/none: is not a directory: expected a folder"),
        (["--examples={tmp}"], "--examples={tmp}: no audio files there or below"),
        (["--examples={sounds}"], "has no sub-folders with audio: expected a folder with one "),
        (["--plot={tmp}/none/x.png"], "no directory '{tmp}/none'"),
        (["--plot=x.jpg"], "expected a name ending in .png"),
    ],
)
def test_command_refuses_bad_input_in_one_line(models, sound, tmp_path, flags, message):
    bands = tmp_path / "bands.tflite"
    bands.write_bytes(of_29_bands(models["log_mel"].read_bytes()))
    names = {"window": models["window"], "bands": bands, "tmp": tmp_path, "sounds": sound.parent}
    given = [flag.format(**names) for flag in flags]
    usual = [f"--model={models['internal']}", f"--audio={sound}"]
    run = run_command("a2v_stream", *usual, *given, fails=True)
    assert message.format(**names) in run.stderr
    assert run.stdout == ""
    assert " s of audio" not in run.stderr
    assert "Traceback" not in run.stderr


# Classifiers -------------------------------------------------------------------------------------


def test_a_classifier_names_each_hop(classifier, sound):
    expected = Classifier(classifier).classify_stream(read_audio(sound))
    command = ["a2v_stream", f"--model={classifier}", f"--audio={sound}"]
    lines = run_command(*command, here=True).stdout.splitlines()
    assert len(lines) == len(expected) == 64_000 // HOP
    for line, found in zip(lines, expected, strict=True):
        assert f"  {found.label:<5} {found.score:4.2f}  |" in line
    run = run_command(*command, "--format=jsonl", here=True)
    for line, found in zip(map(json.loads, run.stdout.splitlines()), expected, strict=True):
        assert (line["label"], np.float32(line["score"])) == (found.label, np.float32(found.score))
        assert np.float32(line["scores"]).tolist() == found.scores.tolist()
        assert np.float32(line["embedding"]).tolist() == found.embedding.tolist()

import numpy as np

from a2v_tf.data.builders import base
from tests.data.builders.conftest import disjoint, labels, pcm_of


def test_recordings_and_artists_stay_together(distribution, clip, prepare):
    lines = []
    for i in range(24):
        clip(f"musan/music/fma/music-fma-{i:04d}.wav")
        lines.append(f"music-fma-{i:04d} rock,pop Y artist{i % 8} composer{i}")
        clip(f"musan/noise/free-sound/noise-free-sound-{i:04d}.wav")
        clip(f"musan/speech/librivox/speech-librivox-{i:04d}.wav")
    (distribution / "musan/music/fma/ANNOTATIONS").write_text("\n".join(lines) + "\n")
    (distribution / "musan/speech/librivox/ANNOTATIONS").write_text("speech-librivox-0000 m en\n")
    (distribution / "musan/README").write_text("MUSAN\n")
    prepared = prepare("musan")
    assert set(prepared) == set(base.SPLITS)
    assert sum(map(len, prepared.values())) == 72
    for clips in prepared.values():
        assert labels(clips) == {id: id.partition("-")[0] for id in clips}
    artists = [
        {int(id[-9:-5]) % 8 for id, kind in labels(clips).items() if kind == "music"}
        for clips in prepared.values()
    ]
    assert disjoint(artists)


def test_long_recordings_are_cut_into_pieces(clip, prepare):
    clip("speech/us-gov/speech-us-gov-0001.wav", samples=16_000 * 20 + 15_599)
    clip("speech/us-gov/speech-us-gov-0002.wav", samples=16_000 * 10 + 15_600)
    clip("noise/sound-bible/noise-sound-bible-0001.wav", samples=100)
    pieces = {id: example for clips in prepare("musan").values() for id, example in clips.items()}
    assert {id: len(example["audio"]) for id, example in pieces.items()} == {
        "speech-us-gov-0001_0000": 160_000,
        "speech-us-gov-0001_0010": 160_000,
        "speech-us-gov-0002_0000": 160_000,
        "speech-us-gov-0002_0010": 15_600,
        "noise-sound-bible-0001_0000": 100,
    }
    whole = pcm_of("speech-us-gov-0001", 16_000 * 20 + 15_599)
    np.testing.assert_array_equal(
        pieces["speech-us-gov-0001_0010"]["audio"], whole[160_000:320_000]
    )


def test_a_corrupt_recording_is_skipped(distribution, clip, prepare):
    clip("noise/free-sound/noise-free-sound-0001.wav")
    for i in range(1, 9):
        clip(f"speech/librivox/speech-librivox-{i:04d}.wav")
    (distribution / "speech/librivox/speech-librivox-0001.wav").write_bytes(b"")
    found = prepare("musan")
    assert "speech-librivox-0001_0000" not in found["train"]
    assert "speech-librivox-0002_0000" in {id for clips in found.values() for id in clips}

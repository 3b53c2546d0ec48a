from a2v_tf.data.builders.speech_commands.speech_commands import WORDS
from tests.data.builders.conftest import check_audio, labels


def test_splits_follow_the_official_lists(distribution, clip, prepare):
    for name in ("a_nohash_0", "b_nohash_0", "c_nohash_1"):
        clip(f"bed/{name}.wav")
        clip(f"zero/{name}.wav")
    clip("_background_noise_/white_noise.wav", samples=32_000)
    (distribution / "validation_list.txt").write_text("bed/b_nohash_0.wav\nzero/b_nohash_0.wav\n")
    (distribution / "testing_list.txt").write_text("bed/c_nohash_1.wav\nzero/c_nohash_1.wav\n")
    prepared = prepare("speech_commands")
    for split, name in {
        "train": "a_nohash_0",
        "validation": "b_nohash_0",
        "test": "c_nohash_1",
    }.items():
        assert labels(prepared[split]) == {f"bed/{name}": "bed", f"zero/{name}": "zero"}
    check_audio(prepared, lambda id: id.partition("/")[2])


def test_there_are_35_words():
    assert len(WORDS) == 35
    assert list(WORDS) == sorted(WORDS)

import hashlib

from tests.data.builders.conftest import check_audio, disjoint, labels


def reader(language: str, sex: str, index: int) -> str:
    return f"{language}_{sex}_{hashlib.md5(f'{language}{sex}{index}'.encode()).hexdigest()}"


def test_no_validation_reader_is_in_train(clip, prepare):
    for language in ("de", "en", "es"):
        for sex in "fm":
            for index in range(4):
                name = reader(language, sex, index)
                for change in ("", ".noise1", ".speed8", ".pitch3"):
                    clip(f"train/train/{name}.fragment1{change}.flac")
            clip(f"test/test/{reader(language, sex, 9)}.fragment12.flac")
    prepared = prepare("spoken_language")
    for clips in prepared.values():
        assert labels(clips) == {id: id[:2] for id in clips}
        assert set(labels(clips).values()) == {"de", "en", "es"}
    readers = [{id.partition(".")[0] for id in clips} for clips in prepared.values()]
    assert disjoint(readers)
    # One of four readers of each language and sex, without augmented copies.
    assert len(prepared["validation"]) == 6
    assert len(prepared["train"]) == 6 * 3 * 4
    assert len({id[:4] for id in prepared["validation"]}) == 6
    assert len(prepared["test"]) == 6
    check_audio(prepared)

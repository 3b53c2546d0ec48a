import collections

from hypothesis import given, settings
from hypothesis import strategies as st

from a2v_tf.data.builders.librispeech_speakers.librispeech_speakers import split_chapters
from tests.data.builders.conftest import check_audio, disjoint, labels

# Speaker -> utterances of the chapters.
SPEAKERS = {"103": [4, 3, 5, 6], "26": [12, 5], "1034": [11]}


def test_every_speaker_is_in_every_split(distribution, clip, prepare):
    for speaker, chapters in SPEAKERS.items():
        for chapter, utterances in enumerate(chapters, start=1240):
            folder = f"LibriSpeech/train-clean-100/{speaker}/{chapter}"
            for i in range(utterances):
                clip(f"{folder}/{speaker}-{chapter}-{i:04d}.flac")
            (distribution / folder / f"{speaker}-{chapter}.trans.txt").write_text("WORDS\n")
    clip("LibriSpeech/train-clean-360/14/208/14-208-0000.flac")
    prepared = prepare("librispeech_speakers")
    assert sum(map(len, prepared.values())) == sum(map(sum, SPEAKERS.values()))
    for clips in prepared.values():
        assert set(labels(clips).values()) == set(SPEAKERS)
        assert all(id.startswith(f"{speaker}-") for id, speaker in labels(clips).items())
    check_audio(prepared)
    chapters = {
        split: {id.rpartition("-")[0] for id in clips if id.startswith("103-")}
        for split, clips in prepared.items()
    }
    assert disjoint(chapters.values())
    assert chapters["test"] == {"103-1241"}  # the shortest
    assert chapters["validation"] == {"103-1240"}
    assert {id.rpartition("-")[0] for id in prepared["test"]} >= {"26-1241"}
    assert "1034-1240-0010" in prepared["test"]
    assert "1034-1240-0009" in prepared["validation"]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_chapters_are_in_one_split_if_possible(sizes):
    chapters = {str(c): [(c, i) for i in range(size)] for c, size in enumerate(sizes)}
    splits = split_chapters(chapters)
    clips = [clip for split in splits.values() for clip in split]
    assert sorted(clips) == sorted(clip for chapter in chapters.values() for clip in chapter)
    assert splits["train"]
    if len(sizes) > 1 or sizes[0] > 1:
        assert splits["test"]
    splits_of = collections.defaultdict(set)
    for split, members in splits.items():
        for chapter, _ in members:
            splits_of[chapter].add(split)
    if len(sizes) >= 3:
        assert all(len(found) == 1 for found in splits_of.values())
    if len(sizes) == 2:
        assert sorted(map(sorted, splits_of.values()))[0] in (["test"], ["train"])
        assert {"test"} in splits_of.values()

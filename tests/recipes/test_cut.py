"""`recipes/debian_audio/cut.py`, on packages of some short sounds."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pytest
import soundfile

from a2v_tf.data.labelled import open_labelled
from a2v_tf.errors import A2vError
from tests.recipes.conftest import noise, write_sound

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")

TABLE = """kind,name,package,path,except,group
speaker,show,voices,/(ann|bob)/,,
speech,,voices,/crowd/,,
digit train,,voices,/ann/([01])_,,
digit val,,voices,/digits/(\\d)_val,,
digit test,,voices,/digits/(\\d)_test,,
music,,songs,/music/,,folder
sound,,effects,/sounds/,_not,
extra sound,,effects,/more/,,
extra music,,songs,/album/,,
extra speech,talk,voices,/(dan)/,,
bird,,effects,/birds/,,
event,,effects,/sounds/,,
background,,effects,/wind/,,
soundfont,,fonts,\\.sf2$,,
"""


@pytest.fixture
def cut(script, tmp_path, monkeypatch):
    """The script, with so little to do that it takes a second."""
    module = script("cut")
    for name, value in {
        "WORDS": ("zero", "one"),
        "VARIANTS": tuple("abcdef"),
        "FAMILIES": ("piano",),
        "NOTES": 2,
        "MIXTURES": {"train": 4, "val": 2, "test": 2},
        "PARTS": 1,
    }.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "HELD_BACK", tmp_path / "held_back.txt")
    (tmp_path / "held_back.txt").write_text("# nothing\n")
    table = tmp_path / "files.csv"
    table.write_text(TABLE)
    monkeypatch.setattr(module, "TABLE", table)
    sounds = module.sounds
    monkeypatch.setattr(sounds, "speak", lambda *a: to_pcm(noise(len(str(a)), 0.5)))
    monkeypatch.setattr(sounds, "play", lambda f, p, notes: to_pcm(noise(p, 4)).reshape(2, -1))
    # WAV only: no process for each file.
    monkeypatch.setattr(sounds, "decode", lambda path: soundfile.read(path, dtype="int16")[0])
    return module


def to_pcm(wave):
    return np.round(32_767 * wave).astype(np.int16)


@pytest.fixture
def work(tmp_path):
    """What download.py leaves."""
    work, seed = tmp_path / "work", iter(range(1_000))
    unpacked = work / "unpacked"
    for who in ("ann", "bob", "crowd", "dan"):
        for i in range(10):
            write_sound(unpacked / f"voices/{who}/{i}_word.wav", next(seed), 2.5)
    for i in range(2):
        write_sound(unpacked / f"songs/album/{i}.wav", next(seed), 45)
    for split in ("val", "test"):
        for i in range(2):
            write_sound(unpacked / f"voices/digits/{i}_{split}.wav", next(seed), 0.5)
    for song in range(9):
        for stem in ("drums", "voice"):
            write_sound(unpacked / f"songs/music/{song}/{stem}.wav", next(seed), 21)
    for kind in ("sounds", "more", "birds", "wind"):
        for sound in "abcdefgh":
            for take in (1, 2):
                write_sound(unpacked / f"effects/{kind}/{sound}{take}.wav", next(seed), 1.5)
    shutil.copy(unpacked / "effects/sounds/a1.wav", unpacked / "effects/sounds/twin.wav")
    (unpacked / "fonts").mkdir()
    (unpacked / "fonts/one.sf2").write_bytes(b"font")
    return work


def make(cut, work, amount=None):
    cut.cut(work, amount or cut.Amount(2, 2, 10))
    return work / "corpus"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tasks_and_unlabelled_audio(cut, work):
    corpus = make(cut, work)
    spec = ",".join(f"csv:{corpus / name}.csv" for name in ("SPC", "LSP", "MUS", "BSD", "NPI"))
    tasks = {data.name: data for data in open_labelled(spec, needs=("train", "val", "test"))}
    assert tasks["LSP"].classes == ("show ann", "show bob")
    assert tasks["MUS"].classes == ("music", "noise", "speech")
    assert tasks["BSD"].classes == ("bird", "none")
    unlabelled = list((corpus / "unlabelled").glob("*.wav"))
    assert unlabelled
    assert all(soundfile.info(path).frames == 160_000 for path in unlabelled)
    hours = {(r["part"], r["package"]): float(r["hours"]) for r in rows(corpus / "hours.csv")}
    total = sum(value for (part, _), value in hours.items() if part == "unlabelled")
    assert total == pytest.approx(len(unlabelled) / 360, abs=1e-3)


def test_nothing_held_out_is_unlabelled(cut, work):
    corpus = make(cut, work)
    sources = {row["clip"]: set(row["sources"].split("|")) for row in rows(corpus / "sources.csv")}
    held = set()
    for name in ("SPC", "LSP", "MUS", "BSD"):
        of_split = {}
        for row in rows(corpus / f"{name}.csv"):
            of_split.setdefault(row["split"], set()).update(sources[row["path"]] - {""})
        assert not of_split["train"] & (of_split["val"] | of_split["test"])
        assert not of_split["val"] & of_split["test"]
        held |= of_split["val"] | of_split["test"]
    free = set().union(*(s for clip, s in sources.items() if clip.startswith("unlabelled/")))
    assert free
    assert not free & held
    # nor another take of a held sound, nor another stem of a held song
    takes = {name[:-5] for name in held if name.startswith("effects/")}
    assert not {name for name in free if name[:-5] in takes}
    songs = {name.rsplit("/", 1)[0] for name in held if name.startswith("songs/")}
    assert songs
    assert not {name for name in free if name.rsplit("/", 1)[0] in songs}


def unlabelled_sources(corpus):
    clips = [r for r in rows(corpus / "sources.csv") if r["clip"].startswith("unlabelled/")]
    return [name for clip in clips for name in clip["sources"].split("|")]


def test_what_is_held_back_is_not_unlabelled(cut, work):
    before = unlabelled_sources(make(cut, work))
    voice = next(name for name in before if "/dan/" in name)
    sound = next(name for name in before if name.startswith("effects/more/"))
    digests = [
        hashlib.sha256((work / "unpacked" / name).read_bytes()).hexdigest()[:16]
        for name in (voice, sound)
    ]
    cut.HELD_BACK.write_text("\n".join(["# kept", *digests]))
    after = set(unlabelled_sources(make(cut, work)))
    assert not {voice, sound} & after
    assert any("/dan/" in name for name in after)  # other utterances
    take = sound.removesuffix(".wav")[:-1]
    assert not [name for name in after if name.startswith(take)]  # another take of the sound


def test_a_recording_of_two_kinds_is_used_once(cut, work):
    once = unlabelled_sources(make(cut, work))
    with cut.TABLE.open("a") as table:
        table.write("extra sound,,voices,/dan/,,\n")
    assert sorted(unlabelled_sources(make(cut, work))) == sorted(once)


def test_no_voice_has_more_clips_than_the_amount(cut, work):
    def of_dan(most):
        corpus = make(cut, work, cut.Amount(2, 2, most))
        clips = [r["sources"] for r in rows(corpus / "sources.csv") if "/dan/" in r["sources"]]
        return len(clips)

    assert of_dan(1) == 1
    assert of_dan(10) == 2  # 25 s


def test_twins_are_one_source(cut, work):
    found = cut.find_sources(work / "unpacked", cut.TABLE)
    assert [s.name for s in found["sound"] if "twin" in s.name] == []


def test_goes_on_where_it_was_stopped(cut, work, monkeypatch):
    written, original = [], cut.sounds.write

    def stopped(pcm, path):
        if len(written) == 40:
            raise KeyboardInterrupt
        written.append(path)
        original(pcm, path)

    monkeypatch.setattr(cut.sounds, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        make(cut, work)
    first = {path: path.stat().st_mtime_ns for path in written if path.is_file()}
    monkeypatch.setattr(cut.sounds, "write", original)
    corpus = make(cut, work)
    assert {path: path.stat().st_mtime_ns for path in first} == first  # not written again
    whole = {path.relative_to(corpus): path.read_bytes() for path in corpus.rglob("*.*")}
    shutil.rmtree(corpus)
    make(cut, work)
    again = {path.relative_to(corpus): path.read_bytes() for path in corpus.rglob("*.*")}
    assert again == whole


def test_what_is_no_longer_wanted_goes(cut, work):
    more = set(make(cut, work, cut.Amount(2, 2, 10)).rglob("*.wav"))
    less = set(make(cut, work, cut.Amount(1, 1, 2)).rglob("*.wav"))
    assert less < more


def test_a_table_that_finds_nothing(cut, work):
    shutil.rmtree(work / "unpacked/songs")
    with pytest.raises(A2vError, match=r"has no music at '/music/': run download"):
        make(cut, work)


def test_splits_have_their_shares(script):
    sources = script("sources")

    class Sized(sources.Source):
        size = 1

    every = [Sized(f"p/{i}", None, str(i), "sound", "", f"g{i // 2}") for i in range(400)]
    splits = sources.split_groups(every)
    assert {split: len(part) for split, part in splits.items()} == {
        "train": 240,
        "val": 60,
        "test": 100,
    }
    groups = [{source.group for source in part} for part in splits.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 200


def test_missing_programs_are_named(script, monkeypatch):
    sounds = script("sounds")
    monkeypatch.setattr(sounds, "TOOLS", ("ffmpeg", "no-such-program"))
    with pytest.raises(A2vError, match=r"apt-get install .* no-such-program"):
        sounds.check_tools()


def test_mixture_has_background_and_event(script):
    sounds = script("sounds")
    background, event = np.full(8_000, 100, np.int16), np.full(4_000, 20_000, np.int16)
    mixed = sounds.mix(background, [event], 1.0, np.random.default_rng(0))
    assert mixed.shape == (16_000,)
    levels = np.unique(mixed)
    assert len(levels) == 2
    assert 32_767 * 10 ** (-18 / 20) * 0.9 < levels[1] < 32_767


def test_the_recipe_finishes_only_once(cut, work, monkeypatch, capsys):
    """`main` writes `done.json`, which tells the next call that nothing is left to do."""
    (work / "packages.csv").write_text("package,version,sha256,licence\nsongs,1,00,CC0\n")
    monkeypatch.setattr(cut.sounds, "check_tools", lambda: None)
    monkeypatch.setattr(cut, "FLAGS", type("Flags", (), {"work": str(work)}))
    cut.main([])
    assert json.loads((work / "corpus/done.json").read_text())["packages"] == ["songs 00"]
    capsys.readouterr()
    cut.main([])
    assert "is up to date" in capsys.readouterr().out

"""Cut the unpacked recordings into clips: five labelled tasks, and unlabelled audio.

  python recipes/debian_audio/cut.py --work=work

WORK/corpus gets TASK.csv (path,label,split) for each of these, `unlabelled/` with clips of 10 s,
`hours.csv`, and `sources.csv`, the files that each clip was cut from:

  SPC  20 spoken words   synthetic voices, and ten digits by four persons; split by voice
  LSP  36 speakers       prompts, game dialogue, words; split by utterance
  MUS  music, speech, noise                             split by track, voice and recording
  BSD  a bird, or none   real calls mixed over real backgrounds; split by call and background
  NPI  40 pitches        rendered notes of two sound fonts; split by instrument

No file of a val or test clip, nor another take of it, is part of the unlabelled audio, and neither
is what `held_back.txt` lists for tests by other tasks. The result is deterministic: the same
packages and programs give the same clips. The name of a clip is derived from its sources, so that
existing clips are not made again and an interrupted run can resume.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import soundfile
import sounds
import tqdm
from absl import flags
from download import LOCK, read_packages, write_csv
from sources import SPLITS, TABLE, Source, by_label, find_sources, shuffled, split_groups

from a2v_tf.errors import A2vError, run_app
from a2v_tf.files import write_json

FLAGS = flags.FLAGS

WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"),
)
# Variants of espeak-ng, which are voices; robots, whispers and effects are left out.
VARIANTS = (
    *("Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Henrique", "Hugo"),
    *("Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "adam", "anika", "antonio"),
    *("belinda", "benjamin", "boris", "caleb", "david", "ed", "edward", "f3", "grandma"),
    *("grandpa", "gustave", "john", "klatt2", "klatt4", "linda", "marcelo", "max", "pablo"),
    *("paul", "pedro", "quincy", "rob", "robert", "shelby", "steph", "travis", "victor", "zac"),
)
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-029", "en-gb-x-rp")
FLITE = {"kal": "train", "awb": "train", "kal16": "train", "rms": "val", "slt": "test"}
# General MIDI's families of eight instruments, without ensembles of effects and percussion.
FAMILIES = (
    *("piano", "chromatic", "organ", "guitar", "bass", "strings", "ensemble", "brass", "reed"),
    *("pipe", "synthlead"),
)
PITCHES, NOTES, VELOCITIES = range(40, 80), 18, (60, 90, 115)
MIXTURES = {"train": 480, "val": 120, "test": 240}

TASK_S, WORD_S, UNLABELLED_S = 5, 2, 10  # at most, of a clip
UTTERANCES = 110  # of a speaker
SPEECH, NOISE = 12, 450  # of MUS: utterances a voice, recordings
PIECES = 4  # of a recording in MUS

SPEECH_KINDS = ("speaker", "speech", "extra speech")
BATCH = 40  # files that a process of ffmpeg decodes
PARTS = 8  # pools in which short sounds are joined, in parallel
MUSIC_KINDS = ("music", "extra music")
SOUND_KINDS = ("sound", "extra sound")
HELD_BACK = pathlib.Path(__file__).with_name("held_back.txt")
HELD_BACK_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Amount:
    """How much unlabelled audio: the most clips of a track, a sound and a voice."""

    track: int = 6
    sound: int = 8
    voice: int = 180


@dataclasses.dataclass(frozen=True)
class Clip:
    """A clip that was written.

    Attributes:
      path: relative to the corpus.
      made_of: its sources.
      seconds: its length.
    """

    path: str
    made_of: tuple[Source, ...]
    seconds: float


@dataclasses.dataclass(frozen=True)
class Example:
    """A labelled clip."""

    clip: Clip
    label: str
    split: str


def define_flags() -> None:
    """Define the command's flags."""
    flags.DEFINE_string("work", None, "The directory of download.py.", required=True)


def main(_: list[str]) -> None:
    work = pathlib.Path(FLAGS.work)
    packages = read_packages(work / "packages.csv")
    wanted = [f"{package.name} {package.sha256}" for package in packages]
    recipe = {"packages": wanted, "code": _code_digest()}
    done = work / "corpus" / "done.json"
    if done.is_file() and json.loads(done.read_text()) == recipe:
        print(f"{done.parent}: is up to date")
        return
    sounds.check_tools()
    done.unlink(missing_ok=True)
    cut(work, Amount())
    write_json(done, recipe)


def cut(work: pathlib.Path, amount: Amount) -> None:
    """Make the corpus."""
    corpus = work / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    found = find_sources(work / "unpacked", TABLE)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        cutter = Cutter(corpus, pool)
        decode_first(cutter, found)
        tasks = {
            "SPC": spoken_words(cutter, found),
            "LSP": speakers(cutter, found),
            "MUS": music_speech_noise(cutter, found),
            "BSD": birds(cutter, found),
            "NPI": pitches(cutter, found),
        }
        held = held_out(tasks) | held_back(found)
        free = {
            kind: [s for s in sources if s.digest not in held and s.group not in held]
            for kind, sources in found.items()
        }
        unlabelled = unlabelled_audio(cutter, free, amount)
    check_apart(tasks, unlabelled, held)
    for name, examples in tasks.items():
        rows = [(x.clip.path, x.label, x.split) for x in examples]
        write_csv(corpus / f"{name}.csv", ("path", "label", "split"), rows)
        counts = {split: sum(x.split == split for x in examples) for split in SPLITS}
        print(f"{name}: {counts}, {len({x.label for x in examples})} classes")
    clips = [*unlabelled, *(x.clip for examples in tasks.values() for x in examples)]
    sources = [(c.path, "|".join(s.name for s in c.made_of)) for c in clips]
    write_csv(corpus / "sources.csv", ("clip", "sources"), sources)
    write_hours(corpus / "hours.csv", tasks, unlabelled)
    _remove_all_but(corpus, {clip.path for clip in clips})
    total = sum(clip.seconds for clip in unlabelled) / 3600
    print(f"unlabelled: {len(unlabelled)} clips, {total:.1f} hours")


# Clips -------------------------------------------------------------------------------------------


class Cutter:
    """Writes clips under names derived from their sources, several in parallel."""

    def __init__(self, corpus: pathlib.Path, pool: concurrent.futures.Executor) -> None:
        self._corpus, self._pool = corpus, pool

    def each(self, what: str, function: Callable, items: Sequence) -> list:
        """`[function(item) for item in items]`, on all cores, with a progress bar."""
        done = self._pool.map(function, items)
        return list(tqdm.tqdm(done, what, len(items), disable=None))

    def make(
        self, folder: str, made_of: Sequence[Source], key: str, make: Callable[[], np.ndarray]
    ) -> Clip:
        """One clip; `make` makes its PCM if it does not exist yet."""
        path = self._path(folder, made_of, key)
        if not (self._corpus / path).is_file():
            sounds.write(make(), self._corpus / path)
        seconds = soundfile.info(self._corpus / path).duration
        return Clip(path, tuple(made_of), seconds)

    def is_sound(self, clip: Clip) -> bool:
        """Whether a clip is not silent."""
        return sounds.is_sound(soundfile.read(self._corpus / clip.path, dtype="int16")[0])

    def pieces(self, folder: str, source: Source, seconds: float, most: int = 1) -> list[Clip]:
        """At most `most` excerpts of a recording that are not silent, spread over all of it.

        A shorter recording is one excerpt; the rest at the end counts if it is half as long.
        """

        def cut() -> dict[int, np.ndarray]:
            pcm, samples = sounds.decode(source.path), seconds * sounds.RATE
            cuts = [pcm[i : i + samples] for i in range(0, len(pcm), samples)]
            if len(cuts) > 1 and len(cuts[-1]) < samples // 2:
                cuts.pop()
            wanted = [i for i, cut in enumerate(cuts) if len(cut) >= 3_200 and sounds.is_sound(cut)]
            if len(wanted) > most:
                wanted = [wanted[i * len(wanted) // most] for i in range(most)]
            return {i: cuts[i] for i in wanted}

        return self._once(folder, source, f"{seconds}", most, cut)

    def excerpts(self, source: Source, most: int) -> list[Clip]:
        """At most `most` unlabelled clips of a recording, spread over all of it; none is silent.

        Only these are decoded, where the format allows.
        """

        def cut() -> dict[int, np.ndarray]:
            excerpts = sounds.excerpts(source.path, UNLABELLED_S, most)
            return {i: pcm for i, pcm in excerpts.items() if sounds.is_busy(pcm)}

        return self._once("unlabelled", source, f"excerpt {UNLABELLED_S}", most, cut)

    def _once(
        self,
        folder: str,
        source: Source,
        key: str,
        most: int,
        cut: Callable[[], dict[int, np.ndarray]],
    ) -> list[Clip]:
        """The clips of a recording; `cut` cuts them if that was not done before."""
        path = self._path(f".pieces/{folder}", [source], f"{key} {most}", ".json")
        listing = self._corpus / path
        if not listing.is_file():
            cuts = cut()
            for i, pcm in cuts.items():
                self.make(folder, [source], f"{key} {i}", functools.partial(np.copy, pcm))
            listing.parent.mkdir(parents=True, exist_ok=True)
            write_json(listing, list(cuts))
        return [
            self.make(folder, [source], f"{key} {i}", functools.partial(_lost, source))
            for i in json.loads(listing.read_text())
        ]

    def joined(self, job: tuple[Sequence[Source], int | None]) -> list[Clip]:
        """Recordings concatenated and cut every 10 s, at most 20 s of each: some clips, or all."""
        sources, most = job
        clips, waiting, made_of = [], np.zeros(0, np.int16), []
        samples = UNLABELLED_S * sounds.RATE
        for source in sources:
            waiting = np.concatenate([waiting, sounds.decode(source.path)[: 2 * samples]])
            made_of.append(source)
            while len(waiting) >= samples:
                if sounds.is_busy(waiting[:samples]):
                    make = functools.partial(np.copy, waiting[:samples])
                    clips.append(self.make("unlabelled", made_of, f"joined {len(waiting)}", make))
                if len(clips) == most:
                    return clips
                waiting = waiting[samples:]
                made_of = [source] if len(waiting) else []
        return clips

    def _path(self, folder: str, made_of: Sequence[Source], key: str, suffix: str = ".wav") -> str:
        content = " ".join((key, *(source.digest for source in made_of)))
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        return f"{folder}/{digest}{suffix}"


def _lost(source: Source) -> np.ndarray:
    raise A2vError(f"a clip of {source.name} is missing: delete the corpus and run cut.py again")


def decode_first(cutter: Cutter, found: dict[str, list[Source]]) -> None:
    """Decode the telephone formats, many files at a time."""
    paths = sorted({s.path for sources in found.values() for s in sources})
    paths = [path for path in paths if sounds.needs_ffmpeg(path)]
    batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    cutter.each("decode by ffmpeg", sounds.decode_by_ffmpeg, batches)


# Labelled tasks ----------------------------------------------------------------------------------


def spoken_words(cutter: Cutter, found: dict[str, list[Source]]) -> list[Example]:
    """SPC: words of synthetic voices, each voice in one split, and digits of persons."""
    voices = []
    for i, variant in enumerate(VARIANTS):
        name, speed = f"{ACCENTS[i % len(ACCENTS)]}+{variant}", 130 + 15 * (i % 7)
        split = ("train", "train", "test", "train", "train", "val", "train", "test", "train")[i % 9]
        voices.append((("espeak-ng", name, str(speed)), split))
    voices += [(("flite", name), split) for name, split in FLITE.items()]
    jobs = [(voice, word, split) for voice, split in voices for word in WORDS]

    def say(job: tuple) -> Example:
        voice, word, split = job
        make = functools.partial(lambda: sounds.speak(voice, word)[: WORD_S * sounds.RATE])
        return Example(cutter.make("SPC", [], " ".join((*voice, word)), make), word, split)

    examples = cutter.each("SPC: words", say, jobs)
    for split in SPLITS:
        for digit in found[f"digit {split}"]:
            clips = cutter.pieces("SPC", digit, WORD_S)
            examples += [Example(clip, WORDS[int(digit.label)], split) for clip in clips]
    return examples


def speakers(cutter: Cutter, found: dict[str, list[Source]]) -> list[Example]:
    """LSP: the speaker, among the identified ones; split by utterance."""
    jobs = []
    for name, utterances in by_label(found["speaker"]).items():
        chosen = shuffled(utterances, "LSP")[:UTTERANCES]
        first, second = len(chosen) * 7 // 10, len(chosen) * 8 // 10
        parts = (chosen[:first], chosen[first:second], chosen[second:])
        jobs += [(s, name, split) for split, part in zip(SPLITS, parts, strict=True) for s in part]
    return _examples(cutter, "LSP", jobs)


def music_speech_noise(cutter: Cutter, found: dict[str, list[Source]]) -> list[Example]:
    """MUS: split by track or song, by voice, and by recording."""
    jobs = []
    tracks = _some_groups(found["music"], 1 / 3)
    noise = shuffled(found["sound"], "MUS")[:NOISE]
    for label, sources in (("music", tracks), ("noise", noise)):
        for split, part in split_groups(sources).items():
            jobs += [(source, label, split) for source in part]
    voices = by_label([*found["speaker"], *found["speech"]])
    for i, name in enumerate(sorted(voices, key=lambda n: hashlib.sha256(n.encode()).digest())):
        split = ("train", "test", "train", "val", "train")[i % 5]
        jobs += [(s, "speech", split) for s in shuffled(voices[name], "MUS")[:SPEECH]]
    return _examples(cutter, "MUS", jobs)


def birds(cutter: Cutter, found: dict[str, list[Source]]) -> list[Example]:
    """BSD: mixtures with birds among the events, or other events."""
    kinds = ("bird", "event", "background")
    parts = {kind: split_groups(found[kind]) for kind in kinds}
    needed = {s.digest: s for kind in kinds for s in found[kind]}
    pcm_of = cutter.each("BSD: sounds", lambda s: sounds.decode(s.path), list(needed.values()))
    decoded = dict(zip(needed, pcm_of, strict=True))
    examples = []
    for split, count in MIXTURES.items():
        usable = {
            kind: [s for s in parts[kind][split] if sounds.is_sound(decoded[s.digest])]
            for kind in kinds
        }
        for i in tqdm.trange(count, desc=f"BSD: mixtures, {split}", disable=None):
            rng = np.random.default_rng([SPLITS.index(split), i])
            label = ("bird", "none")[i % 2]
            events = usable["bird" if label == "bird" else "event"]
            chosen = [usable["background"][rng.integers(len(usable["background"]))]]
            chosen += [events[rng.integers(len(events))] for _ in range(rng.integers(2, 5))]
            pcm = [decoded[source.digest] for source in chosen]
            make = functools.partial(sounds.mix, pcm[0], pcm[1:], TASK_S, rng)
            examples.append(Example(cutter.make("BSD", chosen, f"{split} {i}", make), label, split))
    return examples


def pitches(cutter: Cutter, found: dict[str, list[Source]]) -> list[Example]:
    """NPI: notes; of each family's eight instruments one is val and two are test."""
    jobs = []
    splits = ("train",) * 5 + ("val",) + ("test",) * 2
    for number, font in enumerate(found["soundfont"]):
        for family in range(len(FAMILIES)):
            places = np.random.default_rng([number, family]).permutation(8)
            for program, place in enumerate(places, 8 * family):
                jobs.append((font, number, program, splits[place]))

    def play(job: tuple) -> list[Example]:
        font, number, program, split = job
        rng = np.random.default_rng([number, program])
        notes = [(int(p), int(rng.choice(VELOCITIES))) for p in rng.choice(PITCHES, NOTES, False)]
        played = functools.cache(lambda: sounds.play(font.path, program, notes))
        examples = []
        for i, (pitch, velocity) in enumerate(notes):
            make = functools.partial(lambda i: played()[i], i)
            clip = cutter.make("NPI", [font], f"{program} {pitch} {velocity}", make)
            if cutter.is_sound(clip):  # some instruments lack the note
                examples.append(Example(clip, str(pitch), split))
        return examples

    return [x for part in cutter.each("NPI: instruments", play, jobs) for x in part]


def _examples(cutter: Cutter, task: str, jobs: Sequence[tuple]) -> list[Example]:
    """Pieces of recordings, each with its recording's label and split."""

    def cut_one(job: tuple) -> list[Example]:
        source, label, split = job
        most = 1 if source.kind in ("speaker", "speech") else PIECES
        clips = cutter.pieces(task, source, TASK_S, most)
        return [Example(clip, label, split) for clip in clips]

    return [x for part in cutter.each(f"{task}: recordings", cut_one, jobs) for x in part]


def _some_groups(sources: Iterable[Source], fraction: float) -> list[Source]:
    """The sources of a fraction of the groups, determined by their names."""
    limit = int(fraction * 2**32)
    return [s for s in sources if int(hashlib.sha256(s.group.encode()).hexdigest()[:8], 16) < limit]


# Unlabelled audio --------------------------------------------------------------------------------


def held_out(tasks: dict[str, list[Example]]) -> set[str]:
    """Digests of all sources of val and test clips; and their groups, but for speech.

    Takes of speech are other utterances, and LSP's speakers are in all splits anyhow.
    """
    held = set()
    for examples in tasks.values():
        for example in examples:
            if example.split != "train":
                for source in example.clip.made_of:
                    held |= _held_with(source)
    return held


def held_back(found: dict[str, list[Source]]) -> set[str]:
    """Digests of the sources that HELD_BACK keeps for tests by other tasks; and their groups."""
    lines = HELD_BACK.read_text(encoding="utf-8").splitlines()
    starts = {line for line in lines if not line.startswith("#")}
    sources = (source for sources in found.values() for source in sources)
    held = (_held_with(s) for s in sources if s.digest[:HELD_BACK_DIGITS] in starts)
    return set().union(*held)


def _held_with(source: Source) -> set[str]:
    return {source.digest} if source.kind in SPEECH_KINDS else {source.digest, source.group}


def unlabelled_audio(cutter: Cutter, free: dict[str, list[Source]], amount: Amount) -> list[Clip]:
    """Clips of 10 s: excerpts of long recordings; short ones and speech are concatenated."""
    free = _without_repetitions(free)
    jobs = [(source, amount.track) for kind in MUSIC_KINDS for source in free[kind]]
    jobs += [(source, amount.sound) for kind in SOUND_KINDS for source in free[kind]]
    jobs = [job for job in jobs if job[0].size > 60_000]  # smaller files hardly last 10 s

    pieces = cutter.each("unlabelled: music and sounds", lambda job: cutter.excerpts(*job), jobs)
    used = {clip.made_of[0].digest for part in pieces for clip in part}
    speech = (source for kind in SPEECH_KINDS for source in free[kind])
    pools = [(shuffled(voice, "unlabelled"), amount.voice) for voice in by_label(speech).values()]
    for kind in SOUND_KINDS:
        short = [s for s in shuffled(free[kind], "unlabelled") if s.digest not in used]
        pools += [(short[i::PARTS], None) for i in range(PARTS)]
    joined = cutter.each("unlabelled: speech and short sounds", cutter.joined, pools)
    return list({c.path: c for part in (*pieces, *joined) for c in part}.values())


def _without_repetitions(free: dict[str, list[Source]]) -> dict[str, list[Source]]:
    """The sources of unlabelled audio, those that are of several kinds only in the first."""
    seen: set[str] = set()
    left = {}
    for kind in (*SPEECH_KINDS, *MUSIC_KINDS, *SOUND_KINDS):
        left[kind] = [source for source in free[kind] if source.digest not in seen]
        seen |= {source.digest for source in left[kind]}
    return left


# Output ------------------------------------------------------------------------------------------


def check_apart(
    tasks: dict[str, list[Example]], unlabelled: Sequence[Clip], held: set[str]
) -> None:
    """Check that splits are disjoint, and that no held source is unlabelled.

    Raises:
      A2vError: they are not, which would be a bug.
    """
    for clip in unlabelled:
        for source in clip.made_of:
            if source.digest in held:
                raise A2vError(f"{clip.path} has {source.name}, which is held out: this is a bug")
    for name, examples in tasks.items():
        split_of: dict[str, str] = {}
        for example in examples:
            for source in example.clip.made_of if name != "NPI" else ():
                if split_of.setdefault(source.digest, example.split) != example.split:
                    raise A2vError(f"{name}: {source.name} is in two splits: this is a bug")


def write_hours(
    path: pathlib.Path, tasks: dict[str, list[Example]], unlabelled: Sequence[Clip]
) -> None:
    """Write the hours of each package in each part; a clip of several counts in equal shares."""
    hours: dict[tuple[str, str], float] = {}
    parts = [("unlabelled", clip) for clip in unlabelled]
    parts += [(f"{name}", x.clip) for name, examples in tasks.items() for x in examples]
    for part, clip in parts:
        packages = [source.name.split("/")[0] for source in clip.made_of] or ["(synthetic)"]
        for package in packages:
            key = part, package
            hours[key] = hours.get(key, 0.0) + clip.seconds / 3600 / len(packages)
    rows = [(part, package, f"{value:.4f}") for (part, package), value in sorted(hours.items())]
    write_csv(path, ("part", "package", "hours"), rows)


def _remove_all_but(corpus: pathlib.Path, kept: set[str]) -> None:
    """Remove clips of an earlier run, and the lists of excerpts."""
    for path in corpus.rglob("*.wav"):
        if str(path.relative_to(corpus)) not in kept:
            path.unlink()
    shutil.rmtree(corpus / ".pieces", ignore_errors=True)


def _code_digest() -> str:
    folder = pathlib.Path(__file__).parent
    files = ("cut.py", "sources.py", "sounds.py", "files.csv", HELD_BACK.name, LOCK.name)
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in files)).hexdigest()


if __name__ == "__main__":
    run_app(main, define_flags)

"""Synthesised sounds for the demo corpus: voices, instruments, birds, rain, motors, and rooms."""

import dataclasses
from collections.abc import Callable

import numpy as np

RATE = 16_000
WINDOW, HOP = 512, 256  # of the time-varying filter
BINS_HZ = np.fft.rfftfreq(WINDOW, 1 / RATE)

Rng = np.random.Generator
# From a random generator and a number of samples to a sound with a peak of 1.
Sound = Callable[[Rng, int], np.ndarray]
# From a number of samples and a pitch in Hz to one note.
Note = Callable[[int, float], np.ndarray]


# --- Rooms ----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Room:
    """A room: reverberation time in s, cut-off of its walls in Hz, reverberant to direct energy."""

    rt60: float
    cutoff: float
    wet: float


ROOMS: dict[str, Room | None] = {
    "dry": None,
    "bedroom": Room(0.35, 4_000, 0.7),
    "bathroom": Room(0.9, 7_000, 2.0),
    "hall": Room(1.8, 4_000, 1.2),
    "tunnel": Room(3.5, 1_200, 3.0),
}


def reverberate(rng: Rng, dry: np.ndarray, room: str) -> np.ndarray:
    """Convolve with the response of a room: noise that decays, treble before bass.

    Every call is another position in another room of the kind.
    """
    spec = ROOMS[room]
    if spec is None:
        return dry
    rt60 = spec.rt60 * rng.uniform(0.85, 1.15)
    t = np.arange(int(rt60 * RATE)) / RATE
    noise = rng.standard_normal(len(t))
    low = _filter(noise, lambda f: 1 / (1 + (f / spec.cutoff) ** 2))
    decay = 10 ** (-3 * t / rt60)  # 60 dB
    tail = low * decay + (noise - low) * decay**2 * 0.3
    tail *= np.sqrt(spec.wet / np.sum(tail**2))
    pre_delay = int(rng.uniform(0.002, 0.01) * RATE)
    response = np.concatenate([[1.0], np.zeros(pre_delay), tail])
    size = _fast_size(len(dry) + len(response))
    wet = np.fft.irfft(np.fft.rfft(dry, size) * np.fft.rfft(response, size), size)
    return wet[: len(dry)]


# --- Voices: source and filter --------------------------------------------------------------------

# First three formants in Hz of a man's vowels, as in "beat, bit, bet, bat, father, law, put, boot".
VOWELS = np.array(
    [
        *[(270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410)],
        *[(730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240)],
    ]
)


def voice(rng: Rng, samples: int) -> np.ndarray:
    """Babbling speech: glottal pulses through moving formants, with hissed consonants."""
    pitch = rng.uniform(90, 260)
    tract = 1.0 + 0.25 * (pitch - 90) / 170 + rng.uniform(-0.05, 0.05)  # shorter with high voices
    rate = rng.uniform(3, 5.5)  # syllables a second
    count = int(samples / RATE * rate) + 2
    edges = (np.cumsum(rng.uniform(0.6, 1.4, count)) - rng.random()) / rate
    melody = pitch * 2 ** np.interp(_time(samples), edges, rng.normal(0, 0.12, count))
    tremor = 1 + 0.01 * np.sin(2 * np.pi * rng.uniform(4, 6) * _time(samples))
    source = _saw(melody * tremor) + 0.05 * rng.standard_normal(samples)

    frame_time = np.arange(_frames(samples)) * HOP / RATE
    syllable = np.searchsorted(edges, frame_time)
    within = np.interp(frame_time, edges, np.arange(count)) % 1.0
    vowels = VOWELS[rng.integers(0, len(VOWELS), count + 1)] * tract
    glide = np.clip((within - 0.7) / 0.3, 0, 1)[:, None]
    following = np.minimum(syllable + 1, count)
    formants = (1 - glide) * vowels[syllable] + glide * vowels[following]
    loudness = np.sin(np.pi * np.clip(within * 1.2, 0, 1)) ** 0.5
    loudness = loudness * (rng.random(count + 1) > 0.12)[syllable]  # some pauses
    voiced = _shape(source, _resonances(formants) * loudness[:, None])

    hiss_centre = rng.uniform(2_500, 6_500, count + 1)[syllable]
    hiss = np.exp(-(((BINS_HZ - hiss_centre[:, None]) / 1_200) ** 2))
    hiss_level = (rng.random(count + 1) < 0.5)[syllable] * (within > 0.82) * loudness.max()
    consonants = _shape(rng.standard_normal(samples), hiss * hiss_level[:, None])
    return _peak(_peak(voiced) + rng.uniform(0.1, 0.3) * _peak(consonants))


def crowd(rng: Rng, samples: int) -> np.ndarray:
    """Many voices near and far, over a murmur."""
    voices = (10 ** rng.uniform(-0.7, 0) * voice(rng, samples) for _ in range(9))
    near = sum(voices, start=np.zeros(samples))
    murmur = _filter(rng.standard_normal(samples), lambda f: _bump(f, 500, 500))
    return _peak(_peak(near) + rng.uniform(0.1, 0.3) * _peak(murmur * _drift(rng, samples, 3, 0.5)))


# --- Notes ----------------------------------------------------------------------------------------


def plucked(rng: Rng) -> Note:
    """A plucked string: slightly inharmonic partials; higher ones decay faster."""
    position, stiffness = rng.uniform(0.08, 0.4), rng.uniform(0, 4e-4)
    slope, decay = rng.uniform(0.6, 1.4), rng.uniform(1.5, 5)

    def note(samples: int, hz: float) -> np.ndarray:
        k = np.arange(1, max(2, min(24, int(7_500 / hz))))[:, None]
        t = _time(samples)
        partials = np.sin(2 * np.pi * hz * k * np.sqrt(1 + stiffness * k**2) * t)
        weights = np.abs(np.sin(np.pi * k * position)) * k**-slope
        return (weights * np.exp(-decay * (1 + 0.25 * k) * t) * partials).sum(axis=0)

    return note


def bowed(rng: Rng) -> Note:
    """A bowed string: a saw wave with vibrato through a body, and the bow's scratch."""
    body = np.sort(rng.uniform([250, 450, 900, 2_200], [350, 700, 1_400, 3_200]))
    rate, depth, scratch = rng.uniform(4.5, 6.5), rng.uniform(0.003, 0.012), rng.uniform(0.01, 0.05)

    def note(samples: int, hz: float) -> np.ndarray:
        t = _time(samples)
        vibrato = depth * np.sin(2 * np.pi * rate * t) * np.clip(t / 0.3, 0, 1)
        source = _saw(hz * (1 + vibrato)) + scratch * rng.standard_normal(samples)
        gain = 0.15 + sum(_bump(BINS_HZ, centre, 0.25 * centre) for centre in body)
        return _shape(source, np.tile(gain, (_frames(samples), 1))) * edges(samples, 0.12, 0.1)

    return note


def blown(rng: Rng) -> Note:
    """A pipe: few harmonics, odd ones stronger in a closed pipe, breath and tremolo."""
    even, fall = rng.uniform(0.05, 1), rng.uniform(1.5, 3)
    breath, rate = rng.uniform(0.02, 0.12), rng.uniform(4, 6)

    def note(samples: int, hz: float) -> np.ndarray:
        t = _time(samples)
        k = np.arange(1, max(2, min(8, int(7_500 / hz))))[:, None]
        weights = np.where(k % 2 == 0, even, 1.0) * k**-fall
        tone = (weights * np.sin(2 * np.pi * hz * k * t)).sum(axis=0)
        air = _filter(rng.standard_normal(samples), lambda f: 0.3 + _bump(f, 2 * hz, hz))
        tremolo = 1 + 0.15 * np.sin(2 * np.pi * rate * t)
        chiff = 1 + 4 * np.exp(-t / 0.03)
        return (tone * tremolo + breath * chiff * air) * edges(samples, 0.06, 0.06)

    return note


def phrase(rng: Rng, samples: int, note: Note, pitch: float | None = None) -> np.ndarray:
    """A sequence of notes: all of the given pitch in Hz, or a pentatonic melody if it is None."""
    out = np.zeros(samples)
    steps = np.array([0, 2, 4, 7, 9, 12, 14, 16, 19, 21])
    base, step = 130 * 2 ** rng.uniform(0, 1.5), rng.integers(0, len(steps))
    start = int(rng.uniform(0, 0.15) * RATE)
    beat = rng.uniform(0.25, 0.7)
    while start < samples:
        length = int(beat * rng.choice([1, 1, 2]) * RATE)
        hz = pitch * 2 ** rng.normal(0, 0.005) if pitch else base * 2 ** (steps[step] / 12)
        ring = min(int(1.3 * length), samples - start)
        out[start : start + ring] += rng.uniform(0.5, 1) * _peak(note(ring, hz)) * edges(ring, 0)
        step = np.clip(step + rng.integers(-2, 3), 0, len(steps) - 1)
        start += length
    return _peak(out)


INSTRUMENTS: dict[str, Callable[[Rng], Note]] = {
    "plucked": plucked,
    "bowed": bowed,
    "blown": blown,
}


# --- Other sounds ---------------------------------------------------------------------------------


def percussion(rng: Rng, samples: int) -> np.ndarray:
    """A drum pattern that repeats every eight steps."""
    kit = [_drum(rng, *row) for row in rng.permutation(DRUMS)[:3]]
    pattern = rng.random((3, 8)) < rng.uniform([[0.3], [0.25], [0.4]], 0.6)
    pattern[0, 0] = True
    step = int(rng.uniform(0.1, 0.2) * RATE)
    out = np.zeros(samples + RATE)
    for i in range(samples // step + 1):
        for drum, hits in zip(kit, pattern, strict=True):
            if hits[i % 8]:
                out[i * step : i * step + len(drum)] += rng.uniform(0.5, 1) * drum
    return _peak(out[:samples])


# Low and high pitch in Hz, fall of the pitch (factor), share of noise, centre of the noise in Hz,
# decay in s: bass drum, tom, wood block, snare, hi-hat, shaker.
DRUMS = np.array(
    [
        *[(45, 70, 3.0, 0.05, 2_000, 0.12), (90, 200, 1.6, 0.05, 1_500, 0.15)],
        *[(600, 1_300, 1.0, 0.1, 3_000, 0.03), (160, 230, 1.3, 0.7, 3_500, 0.09)],
        *[(3_000, 3_001, 1.0, 0.98, 6_800, 0.03), (5_000, 5_001, 1.0, 0.98, 5_000, 0.06)],
    ]
)


def _drum(
    rng: Rng, low: float, high: float, fall: float, noise: float, centre: float, decay: float
) -> np.ndarray:
    samples = RATE // 2
    t = _time(samples)
    hz = rng.uniform(low, high) * (1 + (fall - 1) * np.exp(-t / 0.03))
    tone = np.sin(2 * np.pi * np.cumsum(hz) / RATE)
    hiss = _peak(_filter(rng.standard_normal(samples), lambda f: _bump(f, centre, centre / 3)))
    envelope = np.exp(-t / (decay * rng.uniform(0.7, 1.4))) * edges(samples, 0.001)
    return _peak(((1 - noise) * tone + noise * hiss) * envelope)


def bird(rng: Rng, samples: int) -> np.ndarray:
    """A bird that repeats its song: syllables that sweep, some of them trilled."""
    centre = rng.uniform(2_200, 5_500)
    song = [
        (rng.uniform(0.04, 0.22), centre * 2 ** rng.uniform(-0.35, 0.3), rng.uniform(-0.5, 0.5))
        for _ in range(rng.integers(1, 5))
    ]  # duration in s, Hz at the start, octaves swept
    trill, gap = rng.uniform(0, 0.06) * (rng.random() < 0.4), rng.uniform(0.03, 0.12)
    rest = rng.uniform(0.15, 0.7)
    out, start = np.zeros(samples), int(rng.uniform(0, 0.2) * RATE)
    while start < samples:
        for seconds, hz, octaves in song:
            length = min(int(seconds * RATE), max(0, samples - start))
            if length < 100:
                break
            out[start : start + length] += rng.uniform(0.7, 1) * _chirp(length, hz, octaves, trill)
            start += length + int(gap * RATE)
        start += int(rest * rng.uniform(0.7, 1.3) * RATE)
    return _peak(out)


def _chirp(samples: int, hz: float, octaves: float, trill: float) -> np.ndarray:
    t = _time(samples)
    sweep = octaves * np.arange(samples) / samples + trill * np.sin(2 * np.pi * 45 * t)
    swept = np.minimum(hz * 2**sweep, 7_400)
    phase = 2 * np.pi * np.cumsum(swept) / RATE
    overtone = 0.08 * np.sin(2 * phase) * (swept < 3_800)  # above, it would alias
    return (np.sin(phase) + overtone) * np.hanning(samples) ** 0.6


def rain(rng: Rng, samples: int) -> np.ndarray:
    """Rain: hiss, and single drops that hit a small object."""
    tilt = rng.uniform(0.2, 0.9)
    hiss = _filter(rng.standard_normal(samples), lambda f: (f / 1_000 + 0.3) ** -tilt * (f > 200))
    drops = np.zeros(samples)
    count = rng.poisson(rng.uniform(30, 200) * samples / RATE)
    drops[rng.integers(0, samples, count)] = rng.exponential(1, count)
    ring = np.exp(-_time(400) / rng.uniform(0.001, 0.004)) * np.sin(
        2 * np.pi * rng.uniform(1_200, 4_500) * _time(400)
    )
    size = _fast_size(samples + 400)
    drops = np.fft.irfft(np.fft.rfft(drops, size) * np.fft.rfft(ring, size), size)[:samples]
    gusts = _drift(rng, samples, 1, 0.4)
    return _peak(_peak(hiss) * gusts + rng.uniform(0.2, 1) * _peak(drops))


def engine(rng: Rng, samples: int) -> np.ndarray:
    """A motor: pulses from unequal cylinders, filtered by an exhaust, plus air noise."""
    hz = rng.uniform(22, 75) * 2 ** (rng.uniform(0, 0.7) * (_drift(rng, samples, 0.7, 1) - 1))
    cylinders = rng.uniform(0.6, 1, rng.integers(2, 5))
    turns = np.cumsum(hz) / RATE
    pulses = _saw(hz) * cylinders[turns.astype(int) % len(cylinders)]
    low, high = rng.uniform(90, 220), rng.uniform(400, 1_500)
    exhaust = _filter(pulses, lambda f: 0.05 + _bump(f, low, 100) + 0.5 * _bump(f, high, 300))
    air = _filter(rng.standard_normal(samples), lambda f: 1 / (1 + (f / 700) ** 2))
    return _peak(_peak(exhaust) + rng.uniform(0.1, 0.5) * _peak(air * (1 + pulses)))


def _melody(kind: str) -> Sound:
    return lambda rng, samples: phrase(rng, samples, INSTRUMENTS[kind](rng))


SOUNDS: dict[str, Sound] = {
    "voice": voice,
    **{kind: _melody(kind) for kind in INSTRUMENTS},
    "percussion": percussion,
    "bird": bird,
    "rain": rain,
    "engine": engine,
    "crowd": crowd,
}
STEADY = ("rain", "engine", "crowd")  # continuous backgrounds, which mask the room's reverberation
SUSTAINED = ("bowed", "blown")  # without pauses in which the reverberation would show


# --- Signals --------------------------------------------------------------------------------------


def _time(samples: int) -> np.ndarray:
    return np.arange(samples) / RATE


def _peak(sound: np.ndarray) -> np.ndarray:
    """Scale to a peak of 1."""
    return sound / max(np.abs(sound).max(), 1e-9)


def edges(samples: int, attack: float, release: float = 0.02) -> np.ndarray:
    """An envelope that rises within `attack` seconds and falls within `release` seconds."""
    t = np.arange(samples)
    rise = np.minimum(1, (t + 1) / max(1, attack * RATE))
    return rise * np.minimum(1, (samples - t) / max(1, release * RATE))


def _drift(rng: Rng, samples: int, per_second: float, depth: float) -> np.ndarray:
    """A slow random curve around 1, within `depth`."""
    knots = int(samples / RATE * per_second) + 3
    values = 1 + depth * rng.uniform(-1, 1, knots)
    return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), values)


def _saw(hz: np.ndarray) -> np.ndarray:
    """A saw wave of varying pitch, its jumps rounded (PolyBLEP) so that it hardly aliases."""
    step = hz / RATE
    phase = np.cumsum(step) % 1.0
    after, before = phase / step, (phase - 1) / step  # samples since and until the jump
    correction = np.where(after < 1, 2 * after - after**2 - 1, 0)
    correction = np.where(before > -1, before**2 + 2 * before + 1, correction)
    return 2 * phase - 1 - correction


def _bump(hz: np.ndarray, centre: float | np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """The gain of a resonance."""
    return 1 / (1 + ((hz - centre) / width) ** 2)


def _resonances(formants: np.ndarray) -> np.ndarray:
    """Gains `[frames, bins]` of formants in Hz `[frames, 3]`, and of a fixed fourth."""
    gains = 0.01 + 0.1 * _bump(BINS_HZ, 3_600, 300)
    for i, level in enumerate((1.0, 0.6, 0.3)):
        centre = formants[:, i : i + 1]
        gains = gains + level * _bump(BINS_HZ, centre, 60 + 0.03 * centre)
    return gains


def _filter(sound: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Filter a sound; `gain` maps frequencies in Hz to gains."""
    size = _fast_size(len(sound))
    spectrum = np.fft.rfft(sound, size) * gain(np.fft.rfftfreq(size, 1 / RATE))
    return np.fft.irfft(spectrum, size)[: len(sound)]


def _frames(samples: int) -> int:
    return -(-samples // HOP) + 1


def _shape(sound: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Filter a sound with gains `[_frames(samples), bins]` that change every HOP samples."""
    frames = len(gains)
    padded = np.zeros((frames + 1) * HOP)
    padded[HOP : HOP + len(sound)] = sound
    window = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
    cut = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * window
    shaped = np.fft.irfft(np.fft.rfft(cut) * gains) * window
    out = np.zeros((frames + 1, HOP))
    out[:-1] += shaped[:, :HOP]
    out[1:] += shaped[:, HOP:]
    return out.ravel()[HOP : HOP + len(sound)]


def _fast_size(samples: int) -> int:
    """The next power of two, or 3/4 of it if that suffices: sizes with a fast FFT."""
    size = 1 << (samples - 1).bit_length()
    return 3 * size // 4 if 3 * size // 4 >= samples else size

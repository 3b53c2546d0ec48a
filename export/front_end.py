"""The front end as a TFLite graph, from PCM to log-mel, with an FFT made of small matrix products.

It computes `a2v_tf.frontend`. TFLite's own Fourier transform, RFFT2D, works in double precision,
frame by frame, outside XNNPACK. The matrix products below take a quarter of its time
(`benchmarks/front_end.py`).

The FFT has two steps (Cooley and Tukey, 1965). Of the papers' front end, with sample n = i + 16 j
of the windowed frame x, and bin k = s + 32 r of 512,

  a[i, s] = sum over j of x[n] exp(-2 pi i s n / 512)         1. across the blocks of 16 samples
  X[s + 32 r] = sum over i of a[i, s] exp(-2 pi i i r / 16)   2. within a block

1. One DEPTHWISE_CONV_2D over the blocks, whose 16 samples are its channels, with 32 outputs per
   channel. Its stride of 160 samples cuts the frames; its weights include the window.
2. FULLY_CONNECTED, with the same matrix for the classes s = 1..15. They also give the bins of the
   classes 17..31: x is real, so |X[512 - k]| = |X[k]|. The other two classes, 0 and 16, are real
   after step 1. They share the place of s = 0 and have their own matrix.

The bins are then in rows of 16 neighbours, and a mel filter is a weighted sum over a few rows. The
filters are computed by FULLY_CONNECTED in three groups, each over the rows that it needs. Without
mel filters, GATHER takes the bins within the band in their order.

Other front ends have blocks of another size, a power of two that divides window, hop and Fourier
transform. It may be 1, if the hop is odd: then step 1 is the whole transform.
"""

import dataclasses
import math

import numpy as np

from a2v_tf.export import flatbuffer as fb
from a2v_tf.frontend import FRONT_END, FrontEnd, hann_window, mel_matrix

_LEAST_ROWS = 2  # of a matrix product: for a single row, builtin kernels sum in another order
_SIMD = 8  # numbers that kernels compute at once


@dataclasses.dataclass(frozen=True)
class _Fft:
    """How the Fourier transform of a front end is divided into two steps.

    Attributes:
      spec: the front end.
      block: samples of a block, and rows of bins.
    """

    spec: FrontEnd
    block: int

    @classmethod
    def of(cls, spec: FrontEnd) -> "_Fft":
        """The largest block, of at most the square root of the transform's length."""
        common = math.gcd(spec.window_length, spec.hop_length, spec.fft_length)
        block = common & -common  # its largest power of two
        while block**2 > spec.fft_length:
            block //= 2
        return cls(spec, block)

    @property
    def places(self) -> int:
        """Complex numbers per sample after step 1, and bins in a row: half of the classes."""
        return self.spec.fft_length // self.block // 2

    @property
    def values(self) -> int:
        """Real numbers per sample after step 1."""
        return 2 * self.places


def front_end_model(frames: int, spec: FrontEnd = FRONT_END) -> fb.Model:
    """Build `embed(pcm f32 [1, samples]) -> log_mel f32 [1, frames, F]`.

    A frame's values do not depend on the number of frames. This holds bit-exactly for XNNPACK,
    builtin and reference kernels.
    """
    graph = fb.Graph.new(fb.empty_model(), "embed")
    fft = _Fft.of(spec)
    pcm = graph.computed("pcm", [1, spec.samples(frames)])
    x = _inside_blocks(graph, _along_blocks(graph, pcm, frames, fft), fft)
    x = _modulus(graph, x, fft)
    x = _log_mel(graph, x, fft) if spec.is_mel else _log_magnitudes(graph, x, fft)
    log_mel = graph.reshape("log_mel", x, [1, frames, spec.bins])
    fb.set_signature(graph, "embed", {"pcm": pcm}, {"log_mel": log_mel})
    return graph.model


# Weights -----------------------------------------------------------------------------------------


def bins_in_rows(spec: FrontEnd = FRONT_END) -> np.ndarray:
    """The bin of the Fourier transform at each place, int `[rows, places]`.

    For the papers' front end, row r contains the 16 bins from 16 r on: first that of class 0 or 16,
    then those of the classes s = 1..15, directly in an even row (k = s + 32 r / 2) and as
    conjugates in an odd row.
    """
    fft = _Fft.of(spec)
    rows, places = np.arange(fft.block)[:, np.newaxis], np.arange(fft.places)
    return fft.places * rows + np.where(rows % 2, -places % fft.places, places)


def _along_blocks_weights(fft: _Fft) -> np.ndarray:
    """Weights of step 1, `[1, blocks of a frame, 1, samples of a block * values]`."""
    window = hann_window(fft.spec).astype(np.float64)
    n = np.arange(fft.spec.window_length)
    wave = np.exp(-2j * np.pi * np.outer(n, np.arange(fft.places)) / fft.spec.fft_length)
    values = np.stack([wave.real, wave.imag], axis=-1)
    # The class in the middle, without the factor that depends on i.
    values[:, 0, 1] = (-1.0) ** (n // fft.block)
    values *= window[:, np.newaxis, np.newaxis]
    return values.reshape(1, -1, 1, fft.block * fft.values)


def _inside_blocks_weights(fft: _Fft) -> tuple[np.ndarray, np.ndarray]:
    """Weights of step 2, for place 0 and for the others: each `[2 * rows, 2 * block]`."""
    rows, i = np.arange(fft.block)[:, np.newaxis], np.arange(fft.block)
    first = np.exp(-2j * np.pi * i * fft.places * rows / fft.spec.fft_length)
    class_0, middle = first * (rows % 2 == 0), first * (rows % 2)
    r = np.where(rows % 2, fft.block - 1 - rows // 2, rows // 2)
    others = np.exp(-2j * np.pi * i * r / fft.block)
    return (
        np.block([[class_0.real, middle.real], [class_0.imag, middle.imag]]),
        np.block([[others.real, -others.imag], [others.imag, others.real]]),
    )


def _mel_weights(spec: FrontEnd) -> list[tuple[int, np.ndarray]]:
    """The groups of mel filters: the first row of each, and weights `[filters, rows, places]`.

    Few filters reach high bins, so the first two groups, of half and of a quarter of the filters,
    need few rows and the last one half of all rows.
    """
    mel = mel_matrix(spec).astype(np.float64)[bins_in_rows(spec)]
    ends = [spec.mel_bins * quarters // 4 // _SIMD * _SIMD for quarters in (2, 3)]
    groups = []
    for weights in np.split(mel, ends, axis=-1):
        if weights.shape[-1]:
            needed = np.flatnonzero(weights.any(axis=(1, 2)))
            first, last = needed[0], needed[-1]
            groups.append((int(first), np.moveaxis(weights[first : last + 1], -1, 0)))
    return groups


# Ops ---------------------------------------------------------------------------------------------


def _along_blocks(graph: fb.Graph, pcm: int, frames: int, fft: _Fft) -> int:
    """Step 1: `[frames, samples of a block, values]`."""
    blocks = graph.reshape("blocks", pcm, [1, -1, 1, fft.block])
    made = graph.computed("along_blocks", [1, frames, 1, fft.block * fft.values])
    weights = _constant(graph, "along_blocks/weights", _along_blocks_weights(fft))
    bias = _constant(graph, "along_blocks/bias", np.zeros(fft.block * fft.values))  # needed
    stride = fft.spec.hop_length // fft.block
    options = fb.make(
        "DepthwiseConv2DOptionsT",
        padding=fb.VALID,
        strideH=stride,
        strideW=stride,
        depthMultiplier=fft.values,
        dilationHFactor=1,
        dilationWFactor=1,
    )
    graph.op("DEPTHWISE_CONV_2D", [blocks, weights, bias], [made], options)
    return graph.reshape("along_blocks/samples", made, [frames, fft.block, fft.values])


def _inside_blocks(graph: fb.Graph, x: int, fft: _Fft) -> int:
    """Step 2, from `[frames, block, values]` to `[frames, places, (real, imaginary) * rows]`."""
    x = _transpose(graph, "values_first", x)
    x = graph.reshape("places", x, [-1, fft.places, 2 * fft.block])
    frames = fb.shape(graph.tensor(x))[0]
    for_first, for_others = _inside_blocks_weights(fft)
    first = _one_matrix(graph, "first", x, 0, max(1, _LEAST_ROWS // frames), for_first)
    if frames < _LEAST_ROWS:
        first = graph.cut("inside_blocks/first_only", first, 1, 0, 1)
    others = _one_matrix(graph, "others", x, 1, fft.places - 1, for_others)
    return graph.concatenate("inside_blocks", [first, others], 1)


def _one_matrix(
    graph: fb.Graph, name: str, x: int, place: int, count: int, weights: np.ndarray
) -> int:
    """Multiply `count` places, from `place` on, by one matrix."""
    name = f"inside_blocks/{name}"
    x = graph.cut(f"{name}/values", x, 1, place, count)
    made = graph.computed(name, [fb.shape(graph.tensor(x))[0], count, len(weights)])
    return _fully_connected(graph, x, made, weights, np.zeros(len(weights)))


def _modulus(graph: fb.Graph, x: int, fft: _Fft) -> int:
    """From `[frames, places, (real, imaginary) * rows]` to `[frames, rows, places]`."""
    x = _transpose(graph, "rows_first", _elementwise(graph, "SQUARE", x))
    x = graph.reshape("squares", x, [-1, 2, fft.block, fft.places])
    power = graph.computed("power", [fb.shape(graph.tensor(x))[0], fft.block, fft.places])
    axis = graph.constant("power/axis", np.array([1], np.int32))
    graph.op("SUM", [x, axis], [power], fb.make("ReducerOptionsT", keepDims=False))
    return _elementwise(graph, "SQRT", power)


def _log_mel(graph: fb.Graph, modulus: int, fft: _Fft) -> int:
    """From `[frames, rows, places]` to `[frames, mel_bins]`."""
    frames = fb.shape(graph.tensor(modulus))[0]
    rows = max(frames, _LEAST_ROWS)
    if rows > frames:
        modulus = graph.pad("modulus/second", modulus, [(0, rows - frames), (0, 0), (0, 0)])
    groups = []
    for i, (first, weights) in enumerate(_mel_weights(fft.spec)):
        filters, count, _ = weights.shape
        needed = graph.cut(f"mel_{i}/rows", modulus, 1, first, count)
        weights, offset = weights.reshape(filters, -1), np.full(filters, fft.spec.log_offset)
        made = graph.computed(f"mel_{i}", [rows, filters])
        groups.append(_fully_connected(graph, needed, made, weights, offset))
    mel = graph.concatenate("mel", groups, 1)
    if rows > frames:
        mel = graph.cut("mel/frames", mel, 0, 0, frames)
    return _elementwise(graph, "LOG", mel)


def _log_magnitudes(graph: fb.Graph, modulus: int, fft: _Fft) -> int:
    """From `[frames, rows, places]` to `[frames, F]`, the bins within the band."""
    frames, bins = fb.shape(graph.tensor(modulus))[0], fft.spec.stft_bins
    flat = graph.reshape("modulus/flat", modulus, [frames, -1])
    place = np.argsort(bins_in_rows(fft.spec).ravel())[bins.start : bins.stop]
    within = graph.computed("band", [frames, len(bins)])
    indices = graph.constant("band/places", place.astype(np.int32))
    graph.op("GATHER", [flat, indices], [within], fb.make("GatherOptionsT", axis=1))
    offset = _constant(graph, "offset", np.full(1, fft.spec.log_offset))
    made = graph.computed("magnitudes", [frames, len(bins)])
    graph.op("ADD", [within, offset], [made], fb.make("AddOptionsT"))
    return _elementwise(graph, "LOG", made)


def _fully_connected(
    graph: fb.Graph, x: int, made: int, weights: np.ndarray, bias: np.ndarray
) -> int:
    """Multiply the flattened last axes of `x` by `weights`, `[out, in]`; return `made`."""
    name, size = graph.tensor(made).name, fb.shape(graph.tensor(made))
    constants = [
        _constant(graph, f"{name}/{word}", value)
        for word, value in (("weights", weights), ("bias", bias))
    ]
    options = fb.make("FullyConnectedOptionsT", keepNumDims=len(size) > 2)
    graph.op("FULLY_CONNECTED", [x, *constants], [made], options)
    return made


def _transpose(graph: fb.Graph, name: str, x: int) -> int:
    """Swap the last two of three axes."""
    first, second, third = fb.shape(graph.tensor(x))
    made = graph.computed(name, [first, third, second])
    order = graph.constant(f"{name}/order", np.array([0, 2, 1], np.int32))
    graph.op("TRANSPOSE", [x, order], [made], fb.make("TransposeOptionsT"))
    return made


def _elementwise(graph: fb.Graph, op: str, x: int) -> int:
    made = graph.computed(op.lower(), fb.shape(graph.tensor(x)))
    graph.op(op, [x], [made])
    return made


def _constant(graph: fb.Graph, name: str, value: np.ndarray) -> int:
    return graph.constant(name, value.astype(np.float32))

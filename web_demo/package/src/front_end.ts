/** The front end, from PCM to log-mel or log-magnitude frames. As `a2v_tf.frontend`, in float64. */

import {A2vError} from "./errors.js";
import type {FrontEndFacts} from "./metadata.js";

const PAPERS: FrontEndFacts = {
  sample_rate: 16_000,
  window_length: 400,
  hop_length: 160,
  fft_length: 512,
  mel_bins: 64,
  mel_low_hz: 60,
  mel_high_hz: 7_800,
  log_offset: 0.01,
};

/** A mel filter: weights of neighbouring frequencies of the Fourier transform. */
interface Filter {
  first: number;
  weights: Float64Array;
}

export class FrontEnd {
  readonly sampleRate: number;
  /** Samples in a frame, and from one frame to the next. */
  readonly windowLength: number;
  readonly hopLength: number;
  /** Values in a frame. */
  readonly bins: number;

  readonly #fftLength: number;
  readonly #offset: number;
  readonly #hann: Float64Array;
  readonly #filters: Filter[];

  /** @param facts `front_end` in the facts of a file; by default the papers' front end. */
  constructor(facts: FrontEndFacts = PAPERS) {
    this.sampleRate = facts.sample_rate;
    this.windowLength = facts.window_length;
    this.hopLength = facts.hop_length;
    this.#fftLength = facts.fft_length;
    this.#offset = facts.log_offset;
    const angle = (2 * Math.PI) / this.windowLength;
    this.#hann = Float64Array.from({length: this.windowLength}, (_, i) => 0.5 - 0.5 * Math.cos(angle * i));
    this.#filters = facts.mel_bins > 0 ? melFilters(facts) : singleBins(facts);
    this.bins = this.#filters.length;
  }

  /** Samples that neighbouring frames share. */
  get overlap(): number {
    return this.windowLength - this.hopLength;
  }

  /** Smallest number of samples that gives `frames` frames. */
  samples(frames: number): number {
    return frames > 0 ? this.windowLength + (frames - 1) * this.hopLength : 0;
  }

  /** Number of frames in `samples` samples: without padding, so 0 below one window. */
  frames(samples: number): number {
    return Math.max(0, 1 + Math.floor((samples - this.windowLength) / this.hopLength));
  }

  /**
   * Compute the frames of PCM.
   *
   * @param pcm `[samples]` in [-1, 1].
   * @returns `[frames, bins]`, row by row.
   * @throws A2vError: fewer samples than one window.
   */
  logMel(pcm: Float32Array): Float32Array {
    const count = this.frames(pcm.length);
    if (count === 0) {
      throw new A2vError(`${pcm.length} samples give no frame: expected at least ${this.windowLength}`);
    }
    const frames = new Float32Array(count * this.bins);
    const real = new Float64Array(this.#fftLength), imaginary = new Float64Array(this.#fftLength);
    for (let frame = 0; frame < count; frame++) {
      const start = frame * this.hopLength;
      real.fill(0);
      imaginary.fill(0);
      for (let i = 0; i < this.windowLength; i++) real[i] = pcm[start + i] * this.#hann[i];
      fft(real, imaginary);
      for (const [bin, {first, weights}] of this.#filters.entries()) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) {
          sum += weights[i] * Math.hypot(real[first + i], imaginary[first + i]);
        }
        frames[frame * this.bins + bin] = Math.log(sum + this.#offset);
      }
    }
    return frames;
  }
}

/** Triangles between equally spaced points of the mel scale; the constant component is in none. */
function melFilters(facts: FrontEndFacts): Filter[] {
  const mel = (hz: number) => 1127 * Math.log1p(hz / 700);
  const low = mel(facts.mel_low_hz), step = (mel(facts.mel_high_hz) - low) / (facts.mel_bins + 1);
  const spacing = facts.sample_rate / facts.fft_length;
  return Array.from({length: facts.mel_bins}, (_, bin) => {
    const peak = low + (bin + 1) * step;
    const weights = Array.from({length: facts.fft_length / 2 + 1}, (_, i) =>
      i === 0 ? 0 : Math.max(0, 1 - Math.abs(mel(i * spacing) - peak) / step),
    );
    const first = Math.max(1, weights.findIndex((weight) => weight > 0));
    const last = weights.findLastIndex((weight) => weight > 0);
    return {first, weights: Float64Array.from(weights.slice(first, last + 1))};
  });
}

/** The Fourier transform's own frequencies within the band. */
function singleBins(facts: FrontEndFacts): Filter[] {
  const spacing = facts.sample_rate / facts.fft_length;
  const first = Math.ceil(facts.mel_low_hz / spacing);
  const last = Math.min(Math.floor(facts.mel_high_hz / spacing), facts.fft_length / 2 - 1);
  return Array.from({length: last - first + 1}, (_, i) => ({first: first + i, weights: Float64Array.of(1)}));
}

/** The Fourier transform in place, radix 2; the length is a power of two. */
function fft(real: Float64Array, imaginary: Float64Array): void {
  const length = real.length;
  for (let i = 1, j = 0; i < length; i++) {
    let bit = length >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= length; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos((-2 * Math.PI * k) / size), s = Math.sin((-2 * Math.PI * k) / size);
      for (let i = k; i < length; i += size) {
        const j = i + half;
        const r = real[j] * c - imaginary[j] * s, m = real[j] * s + imaginary[j] * c;
        real[j] = real[i] - r;
        imaginary[j] = imaginary[i] - m;
        real[i] += r;
        imaginary[i] += m;
      }
    }
  }
}

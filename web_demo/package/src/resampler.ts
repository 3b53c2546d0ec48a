/** Resample a stream of PCM from any rate to the model's: a polyphase filter in float64. */

import {A2vError} from "./errors.js";

// The specification of soxr's default, "HQ": what lies below 91.3 % of the lower Nyquist frequency passes,
// what would fold back is 120 dB down. The filter is a sinc with a Kaiser window; its parameters follow from
// Kaiser's formulas for the attenuation in dB and the width of the transition.
const PASS = 0.913;
const ATTENUATION = 126;
const BETA = 0.1102 * (ATTENUATION - 8.7);
// Different filters that are kept. A rate that needs more has its filters interpolated between these: the
// error is 130 dB down.
const MOST_FILTERS = 2048;

/**
 * Resamples a stream without a break between its chunks.
 *
 * ```ts
 * const resampler = new Resampler(48_000, 16_000);
 * const pcm = resampler.resample(chunk); // any number of samples
 * const rest = resampler.flush(); // at the end of the sound
 * ```
 *
 * The output has no delay: its first sample is the input's first. So `resample` holds back what depends
 * on samples to come, `lookahead` seconds.
 */
export class Resampler {
  readonly from: number;
  readonly to: number;
  readonly lookahead: number;

  readonly #up: number; // to / from = up / down
  readonly #down: number;
  readonly #reach: number; // input samples on either side of an output sample that it depends on
  readonly #cutoff: number; // of the input's Nyquist frequency
  readonly #filters = new Map<number, Float64Array>();
  #held: Float32Array; // input that further output depends on
  #phase = 0; // of the next output sample, in 1 / up input samples after the middle of `#held`
  #taken = 0;
  #given = 0;

  /** @throws A2vError: rates that are no whole numbers from 1,000 to 768,000 Hz. */
  constructor(from: number, to: number) {
    for (const rate of [from, to]) {
      if (!Number.isInteger(rate) || rate < 1_000 || rate > 768_000) {
        throw new A2vError(`a sample rate of ${rate} Hz: expected a whole number from 1000 to 768000`);
      }
    }
    const divisor = greatestCommonDivisor(from, to);
    this.from = from;
    this.to = to;
    this.#up = to / divisor;
    this.#down = from / divisor;
    const lower = Math.min(1, to / from);
    const width = (1 - PASS) * lower;
    this.#cutoff = ((1 + PASS) / 2) * lower;
    this.#reach = from === to ? 0 : Math.ceil((ATTENUATION - 7.95) / (2.285 * Math.PI * width) / 2);
    this.lookahead = this.#reach / from;
    this.#held = new Float32Array(this.#reach); // silence before the sound
  }

  /** Take the next samples and return those of the other rate that they complete. */
  resample(pcm: Float32Array): Float32Array {
    this.#taken += pcm.length;
    return this.#next(pcm);
  }

  /** Return the rest of the sound, as if silence came after it, and begin another. */
  flush(): Float32Array {
    if (this.from === this.to) return new Float32Array();
    const rest = Math.ceil((this.#taken * this.#up) / this.#down) - this.#given;
    const last = this.#next(new Float32Array(this.#reach + 1)).slice(0, rest);
    this.#held = new Float32Array(this.#reach);
    this.#phase = this.#taken = this.#given = 0;
    return last;
  }

  #next(pcm: Float32Array): Float32Array {
    if (this.from === this.to) return pcm.slice();
    const held = new Float32Array(this.#held.length + pcm.length);
    held.set(this.#held);
    held.set(pcm, this.#held.length);
    const output = [];
    let at = 0; // first input sample that the next output sample depends on
    const taps = 2 * this.#reach + 1;
    while (at + taps <= held.length) {
      const filter = this.#filter(this.#phase);
      let sum = 0;
      for (let i = 0; i < taps; i++) sum += filter[i] * held[at + i];
      output.push(sum);
      this.#phase += this.#down;
      at += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    this.#held = held.slice(Math.min(at, held.length));
    this.#given += output.length;
    return Float32Array.from(output);
  }

  /** Weights of `2 reach + 1` input samples for an output sample `phase / up` after their middle. */
  #filter(phase: number): Float64Array {
    if (this.#up <= MOST_FILTERS) return this.#kept(phase, this.#up);
    const place = (phase / this.#up) * MOST_FILTERS, before = Math.floor(place);
    const a = this.#kept(before, MOST_FILTERS), b = this.#kept(before + 1, MOST_FILTERS);
    return a.map((weight, i) => weight + (place - before) * (b[i] - weight));
  }

  #kept(phase: number, of: number): Float64Array {
    let filter = this.#filters.get(phase);
    if (!filter) {
      filter = lowPass(this.#reach, this.#cutoff, phase / of);
      this.#filters.set(phase, filter);
    }
    return filter;
  }
}

/** A Kaiser-windowed sinc, `[2 reach + 1]`, whose peak is `delay` samples after its middle. */
function lowPass(reach: number, cutoff: number, delay: number): Float64Array {
  const filter = Float64Array.from({length: 2 * reach + 1}, (_, i) => {
    const x = i - reach - delay;
    const place = x / (reach + 1);
    return sinc(cutoff * x) * bessel(BETA * Math.sqrt(Math.max(0, 1 - place * place)));
  });
  const gain = filter.reduce((sum, weight) => sum + weight);
  return filter.map((weight) => weight / gain);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

/** The modified Bessel function of the first kind and order 0, by its power series. */
function bessel(x: number): number {
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

/** What needs no model: samples, the front end, the resampler, nearest neighbours. */

import assert from "node:assert/strict";
import test from "node:test";

import {A2vError, asPcm, Examples, FrontEnd, Resampler} from "@a2v-tf/web";
import {fixtures, largestDifference, Stack} from "./fixtures.js";

test("samples have the scales of Python", () => {
  assert.deepEqual([...asPcm(Int16Array.of(-32_768, 0, 32_767))], [-1, 0, 32_767 / 32_768]);
  assert.deepEqual([...asPcm(Int32Array.of(-(2 ** 31), 0, 2 ** 30))], [-1, 0, 0.5]);
  assert.deepEqual([...asPcm(Uint8Array.of(0, 128, 255))], [-1, 0, 127 / 128]);
  assert.deepEqual([...asPcm(Float64Array.of(-2, 2))], [-2, 2]);
  assert.throws(() => asPcm(Float32Array.of(2.01)), A2vError);
});

for (const {name, spec, pcm, log_mel: expected} of fixtures("front_ends")) {
  test(`the front end gives the golden vectors: ${name}`, () => {
    const frontEnd = new FrontEnd(spec);
    const found = frontEnd.logMel((pcm as Stack).values);
    assert.deepEqual([found.length / frontEnd.bins, frontEnd.bins], (expected as Stack).shape);
    // Python computes in float32: its rounding is relative to the loudest bin.
    const loudest = Math.exp((expected as Stack).values.reduce((a, b) => Math.max(a, b)));
    for (const [i, value] of (expected as Stack).values.entries()) {
      const want = Math.exp(value);
      assert.ok(Math.abs(Math.exp(found[i]) - want) < 2e-4 * want + 2e-6 * loudest, `${found[i]}, not ${value}`);
    }
  });
}

// The resampler -----------------------------------------------------------------------------------

/** Resample as a stream, in chunks. */
function resampled(pcm: Float32Array, from: number, size = 441): Float32Array {
  const resampler = new Resampler(from, 16_000);
  const parts = [];
  for (let at = 0; at < pcm.length; at += size) parts.push(resampler.resample(pcm.subarray(at, at + size)));
  return Float32Array.from([...parts, resampler.flush()].flatMap((part) => [...part]));
}

/** Amplitude of the part of a signal at a frequency. */
function amplitude(pcm: Float32Array, hz: number, rate: number): number {
  let real = 0, imaginary = 0, sum = 0;
  for (let i = 0; i < pcm.length; i++) {
    const weight = 1 - Math.cos((2 * Math.PI * i) / (pcm.length - 1));
    real += weight * pcm[i] * Math.cos((2 * Math.PI * hz * i) / rate);
    imaginary += weight * pcm[i] * Math.sin((2 * Math.PI * hz * i) / rate);
    sum += weight;
  }
  return (2 * Math.hypot(real, imaginary)) / sum;
}

const decibels = (ratio: number) => 20 * Math.log10(ratio);
const sine = (hz: number, rate: number) =>
  Float32Array.from({length: rate / 2}, (_, i) => 0.5 * Math.sin((2 * Math.PI * hz * i) / rate));

for (const {rate, pcm, soxr} of fixtures("resampled")) {
  test(`${rate} Hz: resampled as by soxr's default`, () => {
    const found = resampled((pcm as Stack).values, rate), expected = (soxr as Stack).values;
    assert.ok(Math.abs(found.length - expected.length) <= 1);
    // The ends differ: a filter's reach from the beginning and the end. Between rates without a small common
    // multiple, soxr interpolates its filters; the next test shows whose error the difference is.
    const inner = (values: Float32Array) => values.slice(800, expected.length - 800);
    assert.ok(largestDifference(inner(found), inner(expected)) < ([11_025, 22_050, 44_100, 44_099].includes(rate) ? 1e-4 : 1e-6));
  });

  test(`${rate} Hz: a sine is what it would have been at 16,000 Hz`, () => {
    const hz = Math.min(rate, 16_000) * 0.45;
    const found = resampled(sine(hz, rate), rate);
    for (let i = 800; i < found.length - 800; i++) {
      assert.ok(Math.abs(found[i] - 0.5 * Math.sin((2 * Math.PI * hz * i) / 16_000)) < 5e-7);
    }
  });
}

test("chunks of any size give the same samples", () => {
  const {rate, pcm} = fixtures("resampled").find((entry) => entry.rate === 44_100)!;
  const sound = (pcm as Stack).values.subarray(0, 5_000);
  const whole = resampled(sound, rate, 1e9);
  for (const size of [1, 128, 1024]) assert.equal(largestDifference(resampled(sound, rate, size), whole), 0);
});

for (const from of [44_100, 48_000]) {
  test(`${from} Hz: the pass band is flat, and what would fold back is 120 dB down`, () => {
    for (const hz of [50, 1_000, 5_000, 7_300]) {
      const gain = decibels(amplitude(resampled(sine(hz, from), from), hz, 16_000) / 0.5);
      assert.ok(Math.abs(gain) < 1e-3, `${hz} Hz: ${gain} dB`);
    }
    for (const hz of [8_050, 9_000, 10_500]) {
      const found = resampled(sine(hz, from), from).slice(800, -800);
      const peak = found.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      assert.ok(decibels(peak / 0.5) < -120, `${hz} Hz: ${decibels(peak / 0.5)} dB`);
    }
  });
}

test("a rate that is no whole number of Hz is an error", () => {
  assert.throws(() => new Resampler(44_100.5, 16_000), /sample rate of 44100.5 Hz: expected a whole number/);
});

// Neighbours --------------------------------------------------------------------------------------

test("nearest neighbours are Python's", () => {
  for (const {labels, examples, queries, results} of fixtures("neighbours")) {
    const taught = new Examples();
    (examples as Stack).rows().forEach((row, i) => taught.add(labels[i], [row]));
    (queries as Stack).rows().forEach((query, i) => {
      const {distance, ...found} = taught.nearest(query)!;
      const {distance: expected, ...rest} = results[i];
      assert.deepEqual(found, rest);
      assert.ok(Math.abs(distance - expected) < 1e-6);
    });
  }
});

test("nothing taught, nothing recognised", () => assert.equal(new Examples().nearest(new Float32Array(4)), null));

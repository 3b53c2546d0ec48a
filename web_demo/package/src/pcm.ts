/** What samples may be: the one check of PCM, and its conversion to float. As `a2v_tf.audio.checks`. */

import {A2vError} from "./errors.js";

/** Samples: floats in [-1, 1]; or integers of full scale, as sound files and sound cards have them. */
export type Pcm = Float32Array | Float64Array | Int16Array | Int32Array | Uint8Array;

// Decoders and resamplers overshoot 1 slightly; beyond this, the samples have another scale.
const LOUDEST_PEAK = 2;

/**
 * Convert samples of any usual type to float32, nominally in [-1, 1]: int16 / 32768, int32 / 2 ** 31,
 * (uint8 - 128) / 128.
 *
 * @throws A2vError: another type, samples that are no numbers, or of another scale.
 */
export function asPcm(values: Pcm): Float32Array {
  if (values instanceof Int16Array) return Float32Array.from(values, (sample) => sample / 32_768);
  if (values instanceof Int32Array) return Float32Array.from(values, (sample) => sample / 2 ** 31);
  if (values instanceof Uint8Array) return Float32Array.from(values, (sample) => (sample - 128) / 128);
  if (!(values instanceof Float32Array || values instanceof Float64Array)) {
    throw new A2vError(
      `pcm is ${typeName(values)}: expected floats in [-1, 1] (Float32Array or Float64Array), or ` +
        "Int16Array, Int32Array, Uint8Array",
    );
  }
  const pcm = values instanceof Float32Array ? values : Float32Array.from(values);
  let peak = 0;
  for (const sample of pcm) {
    const size = Math.abs(sample);
    if (!(size < Infinity)) throw new A2vError("pcm has NaN or infinite samples");
    if (size > peak) peak = size;
  }
  if (peak > LOUDEST_PEAK) {
    throw new A2vError(`pcm has samples up to ${Number(peak.toPrecision(3))}, expected [-1, 1]`);
  }
  return pcm;
}

function typeName(value: unknown): string {
  if (value === null || typeof value !== "object") return String(value);
  return value.constructor?.name ?? "an object";
}

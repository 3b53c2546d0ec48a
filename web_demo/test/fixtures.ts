/** The fixtures that fixtures.py wrote. */

import {readFileSync} from "node:fs";
import {fileURLToPath} from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url)); // of build/test/, bundled
export const FIXTURES = `${ROOT}web_demo/build/fixtures/`;

interface Stored {
  file: string;
  shape: number[];
}

/** An array, `rows()` of which are those along its first axis. */
export class Stack {
  readonly shape: number[];
  readonly values: Float32Array;

  constructor({file, shape}: Stored) {
    this.shape = shape;
    this.values = readFloats(FIXTURES + file);
  }

  rows(): Float32Array[] {
    const size = this.values.length / this.shape[0];
    return Array.from({length: this.shape[0]}, (_, i) => this.values.subarray(i * size, (i + 1) * size));
  }
}

export function readFloats(path: string): Float32Array {
  return new Float32Array(new Uint8Array(readFileSync(path)).buffer);
}

/** The entries of a part of the index, with their arrays. */
export function fixtures(part: string): Record<string, any>[] {
  const index = JSON.parse(readFileSync(`${FIXTURES}index.json`, "utf8"));
  return index[part].map((entry: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, isStored(value) ? new Stack(value) : value])),
  );
}

function isStored(value: unknown): value is Stored {
  return typeof value === "object" && value !== null && "file" in value;
}

/** How many values of two arrays differ. */
export function differing(a: Float32Array[], b: Float32Array[]): number {
  if (a.length !== b.length) throw new Error(`${a.length} rows, expected ${b.length}`);
  return a.reduce((sum, row, i) => sum + row.reduce((n, value, j) => n + Number(value !== b[i][j]), 0), 0);
}

/** The largest difference between two arrays. */
export function largestDifference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new Error(`${a.length} values, expected ${b.length}`);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

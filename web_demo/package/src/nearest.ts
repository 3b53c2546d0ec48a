/** Labelled examples, and the nearest of them to an embedding. As `a2v_tf.runtime.nearest`. */

import type {Embedder} from "./embedder.js";
import type {Pcm} from "./pcm.js";
import {asPcm} from "./pcm.js";

const NEIGHBOURS = 10; // k, patent paragraph 73
const EVERY = 5_120; // samples between examples of a clip: with all of them, one clip has every vote

/** The most frequent label among the nearest examples. */
export interface Nearest {
  /** In a tie, the one with the nearest example. */
  label: string;
  /** Number of nearest examples with this label. */
  votes: number;
  /** Number of nearest examples. */
  of: number;
  /** Euclidean distance to the nearest example with this label. */
  distance: number;
}

/** A labelled embedding. */
export interface Example {
  label: string;
  embedding: Float32Array;
}

export class Examples {
  readonly all: Example[] = [];

  add(label: string, embeddings: Iterable<Float32Array>): void {
    for (const embedding of embeddings) this.all.push({label, embedding});
  }

  /** Vote among the k = 10 nearest examples (patent paragraph 73), or all if fewer; null if there are none. */
  nearest(embedding: Float32Array): Nearest | null {
    const order = this.all
      .map(({label, embedding: example}) => ({label, distance: distance(example, embedding)}))
      .sort((a, b) => a.distance - b.distance) // stable
      .slice(0, NEIGHBOURS);
    if (order.length === 0) return null;
    const votes = new Map<string, number>(); // keeps the order, nearest first
    for (const {label} of order) votes.set(label, (votes.get(label) ?? 0) + 1);
    const [label, count] = [...votes].reduce((best, next) => (next[1] > best[1] ? next : best));
    const closest = order.find((example) => example.label === label)!;
    return {label, votes: count, of: order.length, distance: closest.distance};
  }

  /**
   * Distance above which the nearest example says nothing, from the examples: for several labels the 5th
   * percentile of the distances between embeddings of different labels, for one label 1.5 times the median
   * distance between its embeddings; infinite for fewer than two examples. As in the Android app.
   */
  unknownAbove(): number {
    const labels = new Set(this.all.map(({label}) => label));
    const distances = this.all.flatMap((a, i) =>
      this.all
        .slice(i + 1)
        .filter((b) => labels.size === 1 || a.label !== b.label)
        .map((b) => distance(a.embedding, b.embedding)),
    );
    if (distances.length === 0) return Infinity;
    distances.sort((a, b) => a - b);
    const at = (fraction: number) => distances[Math.floor(fraction * (distances.length - 1))];
    return labels.size === 1 ? 1.5 * at(0.5) : at(0.05);
  }
}

/** Euclidean distance. */
export function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return Math.sqrt(sum);
}

/**
 * Embed a clip as examples: the embeddings of its whole windows, 320 ms apart; one shorter than a window
 * gives its last embedding.
 *
 * @param embedder a streaming model; it is reset before and after.
 */
export async function embedClip(embedder: Embedder, clip: Pcm): Promise<Float32Array[]> {
  const hop = embedder.streamHop, pcm = asPcm(clip);
  const steps = Math.ceil(pcm.length / hop);
  const padded = new Float32Array(steps * hop); // silence at its start, to whole hops
  padded.set(pcm, padded.length - pcm.length);
  await embedder.reset();
  const embeddings = await embedder.stream(padded);
  await embedder.reset();
  // The first embedding whose window lies within the clip.
  const first = Math.min(Math.ceil((embedder.span - embedder.frontEnd.overlap) / hop), steps) - 1;
  const every = Math.max(1, Math.floor(EVERY / hop));
  return embeddings.filter((_, i) => i >= first && (steps - 1 - i) % every === 0);
}

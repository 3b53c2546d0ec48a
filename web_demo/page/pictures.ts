/** What is drawn: the live spectrogram, the map of embeddings, a recording. */

import type {FrontEnd} from "@a2v-tf/web";

// Log-mel from silence, log(0.01), to loud.
const QUIETEST = -4.6, LOUDEST = 3;
const SHOWN_MS = 8_000;

/** Colour of the page's stylesheet. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
}

/** The context of a canvas with as many pixels as the screen gives it. */
export function sized(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const width = Math.round(canvas.clientWidth * devicePixelRatio);
  const height = Math.round(canvas.clientHeight * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  return canvas.getContext("2d")!;
}

// Five points of a map from dark blue over magenta to light yellow, whose brightness rises evenly.
const HEAT = [[8, 6, 28], [82, 18, 124], [183, 55, 121], [252, 140, 96], [252, 250, 190]];

/** Red, green and blue of a log-mel value. */
function heat(logMel: number): number[] {
  const place = Math.min(1, Math.max(0, (logMel - QUIETEST) / (LOUDEST - QUIETEST))) * (HEAT.length - 1);
  const first = Math.min(HEAT.length - 2, Math.floor(place));
  return HEAT[first].map((value, i) => value + (place - first) * (HEAT[first + 1][i] - value));
}

/** An image of frames `[frames, bins]`, one pixel each, low frequencies at the bottom. */
function image(frames: Float32Array, bins: number): ImageData {
  const width = frames.length / bins;
  const pixels = new ImageData(width, bins);
  for (let x = 0; x < width; x++) {
    for (let bin = 0; bin < bins; bin++) {
      pixels.data.set([...heat(frames[x * bins + bin]), 255], 4 * ((bins - 1 - bin) * width + x));
    }
  }
  return pixels;
}

/** The spectrogram of the microphone, which moves to the left. */
export class Spectrogram {
  readonly #canvas: HTMLCanvasElement;
  readonly #frontEnd: FrontEnd;
  readonly #history: OffscreenCanvas;
  #rest: Float32Array = new Float32Array();

  constructor(canvas: HTMLCanvasElement, frontEnd: FrontEnd) {
    const frames = Math.round((SHOWN_MS / 1000) * (frontEnd.sampleRate / frontEnd.hopLength));
    this.#canvas = canvas;
    this.#frontEnd = frontEnd;
    this.#history = new OffscreenCanvas(frames, frontEnd.bins);
    const silence = new Float32Array(frames * frontEnd.bins).fill(QUIETEST);
    this.#context.putImageData(image(silence, frontEnd.bins), 0, 0);
  }

  get #context(): OffscreenCanvasRenderingContext2D {
    return this.#history.getContext("2d", {willReadFrequently: true})!;
  }

  add(pcm: Float32Array): void {
    const samples = new Float32Array([...this.#rest, ...pcm]);
    const count = this.#frontEnd.frames(samples.length);
    this.#rest = samples.slice(count * this.#frontEnd.hopLength);
    if (count === 0) return;
    const pixels = image(this.#frontEnd.logMel(samples), this.#frontEnd.bins);
    this.#context.drawImage(this.#history, -count, 0);
    this.#context.putImageData(pixels, this.#history.width - count, 0);
  }

  draw(): void {
    const {width, height} = this.#canvas;
    sized(this.#canvas).drawImage(this.#history, 0, 0, width, height);
  }
}

/** A point of the plane. */
type Point = [number, number];

/** The two principal axes of the latest embeddings, found anew with each one by a step of power iteration. */
export class Plane {
  #axes: Float64Array[] = [];

  /** Project embeddings on the axes, which follow them slowly, so that the map does not jump. */
  project(embeddings: Float32Array[], others: Float32Array[]): {points: Point[]; others: Point[]} {
    const size = embeddings[0].length;
    if (this.#axes.length === 0) this.#axes = [0, 1].map((k) => Float64Array.from({length: size}, (_, i) => Math.cos(i * (k + 1))));
    const mean = new Float64Array(size);
    for (const embedding of embeddings) embedding.forEach((value, i) => (mean[i] += value / embeddings.length));
    const along = (axis: Float64Array, embedding: Float32Array) =>
      embedding.reduce((sum, value, i) => sum + axis[i] * (value - mean[i]), 0);

    this.#axes.forEach((axis, k) => {
      const next = new Float64Array(size);
      for (const embedding of embeddings) {
        const weight = along(axis, embedding);
        embedding.forEach((value, i) => (next[i] += weight * (value - mean[i])));
      }
      for (const before of this.#axes.slice(0, k)) {
        const shared = next.reduce((sum, value, i) => sum + value * before[i], 0);
        before.forEach((value, i) => (next[i] -= shared * value));
      }
      const length = Math.hypot(...next);
      if (length > 0) this.#axes[k] = next.map((value) => value / length);
    });
    const place = (embedding: Float32Array): Point => [along(this.#axes[0], embedding), along(this.#axes[1], embedding)];
    return {points: embeddings.map(place), others: others.map(place)};
  }
}

/** Draw embeddings, the newest last, and named ones, as points of the plane. */
export function drawMap(canvas: HTMLCanvasElement, points: Point[], named: {label: string; point: Point}[]): void {
  const context = sized(canvas), {width, height} = canvas, unit = devicePixelRatio;
  context.clearRect(0, 0, width, height);
  const all = [...points, ...named.map(({point}) => point)];
  const edge = 28 * unit;
  const scaled = (axis: 0 | 1, size: number) => {
    const values = all.map((point) => point[axis]);
    const low = Math.min(...values), range = Math.max(...values) - low || 1;
    return (point: Point) => edge + ((size - 2 * edge) * (point[axis] - low)) / range;
  };
  const x = scaled(0, width), y = scaled(1, height);
  const circle = (point: Point, radius: number) => {
    context.beginPath();
    context.arc(x(point), y(point), radius * unit, 0, 2 * Math.PI);
  };
  points.forEach((point, i) => {
    const age = 1 - (i + 1) / points.length;
    context.globalAlpha = 1 - 0.8 * age;
    context.fillStyle = `hsl(${80 + 140 * age} 65% 48%)`;
    circle(point, i === points.length - 1 ? 10 : 5);
    context.fill();
  });
  context.globalAlpha = 1;
  context.font = `${14 * unit}px system-ui, sans-serif`;
  for (const {label, point} of named) {
    context.strokeStyle = colour("accent");
    context.lineWidth = 3 * unit;
    circle(point, 9);
    context.stroke();
    const toRight = x(point) < width * 0.7;
    context.textAlign = toRight ? "left" : "right";
    context.strokeStyle = colour("background");
    const at: Point = [x(point) + (toRight ? 15 : -15) * unit, y(point) + 5 * unit];
    context.strokeText(label, ...at);
    context.fillStyle = colour("text");
    context.fillText(label, ...at);
  }
}

/** Draw a recording's spectrogram, how alike each of its moments is to one of them, and that moment. */
export function drawRecording(
  canvas: HTMLCanvasElement, spectrogram: ImageBitmap, alike: number[], moment: number,
): void {
  const context = sized(canvas), {width, height} = canvas, unit = devicePixelRatio;
  context.clearRect(0, 0, width, height);
  const top = height * 0.62;
  context.drawImage(spectrogram, 0, 0, width, top);
  const x = (i: number) => ((i + 0.5) / alike.length) * width;
  const y = (value: number) => height - 4 * unit - Math.max(0, value) * (height - top - 12 * unit);
  context.beginPath();
  alike.forEach((value, i) => context.lineTo(x(i), y(value)));
  context.strokeStyle = colour("accent");
  context.lineWidth = 2 * unit;
  context.stroke();
  context.fillStyle = colour("recording");
  context.fillRect(x(moment) - unit, 0, 2 * unit, height);
}

/** The spectrogram of a whole recording, no wider than a screen. */
export function wholeSpectrogram(pcm: Float32Array, frontEnd: FrontEnd): Promise<ImageBitmap> {
  const frames = frontEnd.frames(pcm.length);
  const width = Math.min(frames, 1_600);
  const columns = new Float32Array(width * frontEnd.bins);
  for (let i = 0; i < width; i++) {
    const start = Math.floor((i / width) * frames) * frontEnd.hopLength;
    columns.set(frontEnd.logMel(pcm.subarray(start, start + frontEnd.windowLength)), i * frontEnd.bins);
  }
  return createImageBitmap(image(columns, frontEnd.bins));
}

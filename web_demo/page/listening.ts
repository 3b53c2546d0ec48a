/** The microphone's sound: its spectrogram, its embeddings, and what they sound like. */

import {A2vError, type Examples, FrontEnd, Microphone} from "@a2v-tf/web";

import {element, notice, onAppearance} from "./elements.js";
import {call} from "./model.js";
import {drawMap, Plane, Spectrogram} from "./pictures.js";
import type {Taught} from "./taught.js";

const MAP_SECONDS = 20;
const VOTE_SECONDS = 0.6; // a label is shown when most of the embeddings of so long agree

/** What a taught sound is recorded into. */
interface Recording {
  parts: Float32Array[];
  missing: number; // samples
  done(pcm: Float32Array): void;
  failed(error: Error): void;
}

export class Listening {
  readonly #hop: number;
  readonly #sampleRate: number;
  readonly #taught: Taught;
  readonly #spectrogram: Spectrogram;
  readonly #plane = new Plane();
  #microphone: Promise<Microphone> | null = null;
  #latest: Float32Array[] = [];
  #labels: string[] = [];
  #count = 0;
  #frame = 0; // that is asked for
  #recording: Recording | null = null;

  constructor(facts: {hop: number; sampleRate: number}, frontEnd: FrontEnd, taught: Taught) {
    this.#hop = facts.hop;
    this.#sampleRate = facts.sampleRate;
    this.#taught = taught;
    this.#spectrogram = new Spectrogram(element<HTMLCanvasElement>("spectrogram"), frontEnd);
    const button = element<HTMLButtonElement>("listen");
    button.disabled = false;
    button.textContent = "Start listening";
    button.onclick = () => (this.#microphone ? this.stop() : this.start()).catch(notice);
    onAppearance(() => this.#drawSoon());
    this.#drawSoon();
  }

  /** Open the microphone, unless it is open or being opened. */
  async start(): Promise<void> {
    if (!this.#microphone) {
      notice(null);
      this.#microphone = this.#open();
      this.#microphone.catch(() => (this.#microphone = null));
    }
    const {deviceRate} = await this.#microphone;
    element("rate").textContent = `${deviceRate / 1000} kHz`;
    this.#showButton("Stop listening", true);
  }

  async #open(): Promise<Microphone> {
    await call("reset");
    return Microphone.open((pcm) => void this.#take(pcm).catch(notice), {
      sampleRate: this.#sampleRate,
      onEnd: () => {
        notice("the microphone ended: it was unplugged, or is no longer allowed");
        void this.stop();
      },
    });
  }

  async stop(): Promise<void> {
    const microphone = this.#microphone;
    this.#microphone = null;
    this.#recording?.failed(new A2vError("listening was stopped before the sound was recorded"));
    this.#recording = null;
    this.#showButton("Start listening", false);
    await (await microphone)?.close();
  }

  /** The microphone's next `seconds`. */
  record(seconds: number): Promise<Float32Array> {
    return new Promise((done, failed) => {
      this.#recording = {parts: [], missing: Math.round(seconds * this.#sampleRate), done, failed};
    });
  }

  #showButton(text: string, listening: boolean): void {
    const button = element("listen");
    button.textContent = text;
    button.classList.toggle("on", listening);
  }

  async #take(pcm: Float32Array): Promise<void> {
    this.#spectrogram.add(pcm);
    this.#drawSoon();
    this.#record(pcm);
    const {embeddings, milliseconds} = await call("stream", pcm);
    // For who wants to do more with them: the tests compare them with Python's.
    document.dispatchEvent(new CustomEvent("embedded", {detail: {pcm, embeddings}}));
    if (embeddings.length === 0) return;
    this.#latest = [...this.#latest, ...embeddings].slice((-MAP_SECONDS * this.#sampleRate) / this.#hop);
    this.#count += embeddings.length;
    element("count").textContent = this.#count.toLocaleString("en");
    element("time").textContent = `${(milliseconds / embeddings.length).toFixed(1)} ms`;
    for (const embedding of embeddings) this.#recognise(this.#taught.examples, embedding);
  }

  #record(pcm: Float32Array): void {
    const recording = this.#recording;
    if (!recording) return;
    recording.parts.push(pcm.subarray(0, recording.missing));
    recording.missing -= pcm.length;
    if (recording.missing > 0) return;
    this.#recording = null;
    recording.done(Float32Array.from(recording.parts.flatMap((part) => [...part])));
  }

  #recognise(examples: Examples, embedding: Float32Array): void {
    const nearest = examples.nearest(embedding);
    if (!nearest) return;
    const known = nearest.distance <= this.#taught.unknownAbove;
    const votes = Math.ceil((VOTE_SECONDS * this.#sampleRate) / this.#hop);
    this.#labels = [...this.#labels, known ? nearest.label : "Unknown"].slice(-votes);
    element("votes").textContent = `${nearest.label}: ${nearest.votes} of ${nearest.of} votes, distance ${nearest.distance.toFixed(1)}`;
    const [label] = this.#labels;
    // A screen reader says it when it changes.
    if (this.#labels.every((other) => other === label) && element("label").textContent !== label) {
      element("label").textContent = label;
    }
  }

  /** Draw once before the screen's next frame, however often it is asked for. */
  #drawSoon(): void {
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    this.#frame = 0;
    this.#spectrogram.draw();
    if (this.#latest.length === 0) return;
    const prototypes = this.#taught.prototypes();
    const {points, others} = this.#plane.project(this.#latest, prototypes.map(({embedding}) => embedding));
    drawMap(element<HTMLCanvasElement>("map"), points, prototypes.map(({label}, i) => ({label, point: others[i]})));
  }
}

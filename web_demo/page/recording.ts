/** A recording that was opened or dropped: which of its moments sound alike. */

import {A2vError, type FrontEnd, Resampler} from "@a2v-tf/web";

import {clock, element, notice, onAppearance} from "./elements.js";
import {call} from "./model.js";
import {drawRecording, wholeSpectrogram} from "./pictures.js";

const MOST_MINUTES = 30;
const DECODED_HZ = 48_000; // browsers decode to a rate of our choice; the Resampler takes it from there
const PART_SECONDS = 10; // that are embedded at once, between two signs of progress
const SIMILAR = 5;
const APART_SECONDS = 1.5; // between the moments that are listed

interface Recording {
  pcm: Float32Array;
  embeddings: Float32Array[]; // of length 1, so that a product is a cosine
  spectrogram: ImageBitmap;
}

export class RecordingPart {
  readonly #hop: number;
  readonly #span: number;
  readonly #frontEnd: FrontEnd;
  #open: Recording | null = null;
  #turn = 0; // counts the files that were opened
  #playing: AudioContext | null = null;

  constructor(facts: {hop: number; span: number}, frontEnd: FrontEnd) {
    this.#hop = facts.hop;
    this.#span = facts.span;
    this.#frontEnd = frontEnd;
    const input = element<HTMLInputElement>("file"), drop = element("drop"), slider = element<HTMLInputElement>("moment");
    input.disabled = false;
    input.onchange = () => this.#take(input.files);
    document.ondragover = (event) => event.preventDefault();
    document.ondrop = (event) => event.preventDefault(); // beside the box, a file would leave the page
    drop.ondragenter = () => drop.classList.add("over");
    drop.ondragleave = () => drop.classList.remove("over");
    drop.ondrop = (event) => {
      drop.classList.remove("over");
      this.#take(event.dataTransfer?.files ?? null);
    };
    slider.oninput = () => this.#choose(Number(slider.value));
    element("recording").onclick = ({offsetX}) => {
      slider.value = String(Math.floor((offsetX / element("recording").clientWidth) * (Number(slider.max) + 1)));
      this.#choose(Number(slider.value));
    };
    element("play").onclick = () => this.#play(Number(slider.value));
    element("stop").onclick = () => this.#stop();
    onAppearance(() => this.#open && this.#choose(Number(slider.value)));
  }

  #take(files: FileList | null): void {
    const file = files?.[0];
    if (!file) return;
    notice(null);
    this.#stop();
    element("moments").hidden = true;
    const turn = ++this.#turn;
    this.#read(file, () => turn === this.#turn).catch((error) => {
      if (turn !== this.#turn) return;
      element("file-status").textContent = "";
      notice(error);
    });
  }

  /** Embed and show a file, for as long as no other one was opened. */
  async #read(file: File, wanted: () => boolean): Promise<void> {
    const status = element("file-status");
    status.textContent = `Reading ${file.name}`;
    const pcm = await this.#decode(file);
    const rate = this.#frontEnd.sampleRate, embeddings: Float32Array[] = [];
    if (!wanted()) return;
    await call("resetRecording");
    for (let at = 0; at < pcm.length; at += PART_SECONDS * rate) {
      for (const embedding of await call("recording", pcm.slice(at, at + PART_SECONDS * rate))) {
        const length = Math.hypot(...embedding);
        embeddings.push(embedding.map((value) => value / length));
      }
      if (!wanted()) return;
      status.textContent = `${file.name}: ${clock(at / rate)} of ${clock(pcm.length / rate)}`;
    }
    this.#open = {pcm, embeddings, spectrogram: await wholeSpectrogram(pcm, this.#frontEnd)};
    status.textContent = `${file.name}: ${clock(pcm.length / rate)}, ${embeddings.length.toLocaleString("en")} embeddings`;
    element("moments").hidden = false;
    const slider = element<HTMLInputElement>("moment");
    slider.max = String(embeddings.length - 1);
    slider.value = String(Math.min(embeddings.length - 1, Math.ceil(this.#span / this.#hop)));
    this.#choose(Number(slider.value));
  }

  async #decode(file: File): Promise<Float32Array> {
    const context = new OfflineAudioContext(1, 1, DECODED_HZ);
    const sound = await context.decodeAudioData(await file.arrayBuffer()).catch(() => {
      throw new A2vError(`'${file.name}' is not a recording that this browser plays`);
    });
    if (sound.duration > 60 * MOST_MINUTES) {
      throw new A2vError(`'${file.name}' has ${clock(sound.duration)}: expected at most ${MOST_MINUTES} minutes`);
    }
    const mono = new Float32Array(sound.length);
    for (let channel = 0; channel < sound.numberOfChannels; channel++) {
      sound.getChannelData(channel).forEach((sample, i) => (mono[i] += sample / sound.numberOfChannels));
    }
    const resampler = new Resampler(DECODED_HZ, this.#frontEnd.sampleRate);
    const [whole, rest] = [resampler.resample(mono), resampler.flush()];
    const pcm = new Float32Array(whole.length + rest.length);
    pcm.set(whole);
    pcm.set(rest, whole.length);
    if (pcm.length < Math.max(this.#hop, this.#frontEnd.windowLength)) {
      throw new A2vError(`'${file.name}' has ${pcm.length} samples: expected at least ${this.#hop}, a step of the model`);
    }
    return pcm;
  }

  /** Show which moments sound like one of them. */
  #choose(moment: number): void {
    const {embeddings, spectrogram} = this.#open!;
    const chosen = embeddings[moment];
    const alike = embeddings.map((embedding) => embedding.reduce((sum, value, i) => sum + value * chosen[i], 0));
    const lowest = Math.min(...alike);
    const shown = alike.map((value) => (value - lowest) / (1 - lowest || 1));
    drawRecording(element<HTMLCanvasElement>("recording"), spectrogram, shown, moment);
    element("moment-time").textContent = clock(this.#end(moment));
    element("moment").setAttribute("aria-valuetext", clock(this.#end(moment)));
    element("similar").replaceChildren(...this.#similar(alike, moment).map((i) => this.#row(i, alike[i])));
  }

  /** The moments most like one of them, none near another. */
  #similar(alike: number[], moment: number): number[] {
    const apart = (APART_SECONDS * this.#frontEnd.sampleRate) / this.#hop;
    const taken = [moment];
    for (const i of [...alike.keys()].sort((a, b) => alike[b] - alike[a])) {
      if (taken.length <= SIMILAR && taken.every((other) => Math.abs(i - other) >= apart)) taken.push(i);
    }
    return taken.slice(1);
  }

  #row(moment: number, alike: number): HTMLLIElement {
    const row = document.createElement("li"), button = document.createElement("button");
    button.textContent = `${clock(this.#end(moment))} · cosine ${alike.toFixed(2)}`;
    button.setAttribute("aria-label", `Play ${clock(this.#end(moment))}, cosine ${alike.toFixed(2)}`);
    button.onclick = () => this.#play(moment);
    row.append(button);
    return row;
  }

  /** Seconds from the beginning to the last sample that an embedding describes. */
  #end(moment: number): number {
    return ((moment + 1) * this.#hop) / this.#frontEnd.sampleRate;
  }

  #play(moment: number): void {
    this.#stop();
    const context = (this.#playing = new AudioContext()), {pcm} = this.#open!;
    const sound = context.createBuffer(1, pcm.length, this.#frontEnd.sampleRate);
    sound.getChannelData(0).set(pcm);
    const source = new AudioBufferSourceNode(context, {buffer: sound});
    source.connect(context.destination);
    const from = Math.max(0, this.#end(moment) - this.#span / this.#frontEnd.sampleRate);
    source.start(0, from, this.#end(moment) - from);
    source.onended = () => void (this.#playing === context && this.#stop());
  }

  #stop(): void {
    void this.#playing?.close();
    this.#playing = null;
  }
}

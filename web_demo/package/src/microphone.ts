/** Sound of the microphone, in a browser: as the device has it, resampled to the model's rate. */

import {A2vError, firstLine} from "./errors.js";
import {Resampler} from "./resampler.js";

const CHUNK = 1024; // frames of the device that the audio thread passes on at once

// Runs in the audio thread, which must not wait: it only mixes the channels and passes chunks on.
const CAPTURE = `
class Capture extends AudioWorkletProcessor {
  chunk = new Float32Array(${CHUNK});
  filled = 0;
  process([channels]) {
    if (channels.length === 0) return true;
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.chunk[this.filled++] = sum / channels.length;
      if (this.filled === ${CHUNK}) {
        this.port.postMessage(this.chunk.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}
registerProcessor("a2v-capture", Capture);
`;

export interface MicrophoneOptions {
  /** Of the samples that are passed on, in Hz; 16,000 unless the model takes another. */
  sampleRate?: number;
  /** Of `navigator.mediaDevices.enumerateDevices`. */
  deviceId?: string;
  /** Called if the microphone ends by itself: unplugged, or no longer allowed. */
  onEnd?: () => void;
}

/**
 * An open microphone.
 *
 * ```ts
 * const microphone = await Microphone.open((pcm) => embedder.stream(pcm));
 * await microphone.close();
 * ```
 *
 * Echo cancellation, noise suppression and gain control are off: they change the samples, in every
 * browser otherwise.
 */
export class Microphone {
  /** The device's own rate, in Hz. */
  readonly deviceRate: number;
  readonly #context: AudioContext;
  readonly #stream: MediaStream;

  /**
   * Ask for the microphone and pass its samples on, mono in [-1, 1], until it is closed.
   *
   * @throws A2vError: there is none, or the user or the browser does not allow it.
   */
  static async open(onPcm: (pcm: Float32Array) => void, options: MicrophoneOptions = {}): Promise<Microphone> {
    const stream = await askFor(options.deviceId);
    const context = new AudioContext();
    try {
      const module = URL.createObjectURL(new Blob([CAPTURE], {type: "text/javascript"}));
      await context.audioWorklet.addModule(module);
      URL.revokeObjectURL(module);
      const resampler = new Resampler(context.sampleRate, options.sampleRate ?? 16_000);
      const capture = new AudioWorkletNode(context, "a2v-capture", {numberOfOutputs: 1});
      capture.port.onmessage = ({data}: MessageEvent<Float32Array>) => {
        const pcm = resampler.resample(data);
        if (pcm.length > 0) onPcm(pcm);
      };
      // A node without a way to the loudspeaker may not run; this one is silent.
      context.createMediaStreamSource(stream).connect(capture).connect(context.destination);
      stream.getTracks().forEach((track) => (track.onended = () => options.onEnd?.())); // not after stop()
      await context.resume();
      return new Microphone(context, stream);
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      await context.close();
      throw new A2vError(`the microphone cannot be used: ${firstLine(error)}`);
    }
  }

  private constructor(context: AudioContext, stream: MediaStream) {
    this.#context = context;
    this.#stream = stream;
    this.deviceRate = context.sampleRate;
  }

  async close(): Promise<void> {
    this.#stream.getTracks().forEach((track) => track.stop());
    await this.#context.close();
  }
}

async function askFor(deviceId: string | undefined): Promise<MediaStream> {
  if (!globalThis.navigator?.mediaDevices) {
    throw new A2vError("this page may not use the microphone: expected https:// or localhost");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {deviceId, channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false},
    });
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name === "NotAllowedError") throw new A2vError("the microphone is not allowed: allow it in the browser's settings of this page");
    if (name === "NotFoundError") throw new A2vError("there is no microphone: connect one");
    throw new A2vError(`the microphone cannot be opened: ${firstLine(error)}`);
  }
}

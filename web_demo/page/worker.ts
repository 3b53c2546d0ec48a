/** The model, outside the page's own thread. LiteRT.js needs a classic worker: esbuild bundles it as one. */

import {embedClip, Embedder} from "@a2v-tf/web";

const MODEL = new URL("streaming.tflite", self.location.href);
const WASM = new URL("wasm/", self.location.href);

// One stream each: the microphone's goes on while a clip or a recording is embedded.
const live = Embedder.open(MODEL, {wasm: WASM});
const other = live.then(() => Embedder.open(MODEL));

const calls = {
  async open() {
    await other;
    const {facts, hop, span, sampleRate} = await live;
    return {facts, hop: hop!, span, sampleRate};
  },
  reset: async () => (await live).reset(),
  stream: async (pcm: Float32Array) => {
    const embedder = await live, start = performance.now();
    const embeddings = await embedder.stream(pcm);
    return {embeddings, milliseconds: performance.now() - start};
  },
  clip: async (pcm: Float32Array) => embedClip(await other, pcm),
  recording: async (pcm: Float32Array) => (await other).stream(pcm),
  resetRecording: async () => (await other).reset(),
};

export type Calls = typeof calls;

interface Call {
  id: number;
  name: keyof Calls;
  pcm: Float32Array;
}

self.onmessage = async ({data: {id, name, pcm}}: MessageEvent<Call>) => {
  try {
    self.postMessage({id, result: await calls[name](pcm)});
  } catch (error) {
    self.postMessage({id, error: error instanceof Error ? error.message : String(error)});
  }
};

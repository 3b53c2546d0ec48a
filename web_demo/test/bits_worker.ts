/** Embeds what the test sends, one request after another, in a worker of the browser. */

import {Embedder} from "@a2v-tf/web";

interface Request {
  model: string;
  pcm?: Float32Array; // of a stream
  inputs?: Float32Array[]; // of single runs
}

self.onmessage = async ({data: {model, pcm, inputs}}: MessageEvent<Request>) => {
  const embedder = await Embedder.open(model, {wasm: "/wasm/"});
  self.postMessage(pcm ? await embedder.stream(pcm) : await Promise.all(inputs!.map((values) => embedder.embed(values))));
  await embedder.close();
};

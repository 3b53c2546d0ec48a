/** Run exported files: `Embedder`, as `a2v_tf.runtime.embedder`. */

import {loadAndCompile, Tensor, type CompiledModel, type SignatureRunner} from "@litertjs/core";

import {A2vError, firstLine} from "./errors.js";
import {FrontEnd} from "./front_end.js";
import {loadRuntime, readFile} from "./litert.js";
import {isTflite, readFacts, type Facts} from "./metadata.js";
import {asPcm, type Pcm} from "./pcm.js";

const USUAL_WINDOW_MS = 975; // of files without metadata

export interface OpenOptions {
  /** URL of the folder with LiteRT's wasm files; not needed in Node.js. See `loadRuntime`. */
  wasm?: string | URL;
}

/**
 * Runs an exported file on PCM: window or streaming with internal state, either input.
 *
 * ```ts
 * const embedder = await Embedder.open("streaming.tflite", {wasm: "/wasm/"});
 * for (const embedding of await embedder.stream(chunk)) {} // one every `hop` samples
 * await embedder.reset(); // before another recording
 * ```
 *
 * One object is one stream. Calls run one after another in the order in which they are made, also
 * without `await` between them.
 */
export class Embedder {
  /** Whether the file carries state from call to call. */
  readonly streaming: boolean;
  /** What `embed` takes. */
  readonly input: "pcm" | "log_mel";
  /** Shape of what `embed` takes, without the batch: `[samples]` or `[frames, bins]`. */
  readonly inputShape: readonly number[];
  /** Samples between two embeddings of a stream; null for a window model. */
  readonly hop: number | null;
  /** Receptive field of a window model in samples; null for a streaming model. */
  readonly window: number | null;
  /** Receptive field in samples, of streaming models too. */
  readonly span: number;
  readonly embeddingDim: number;
  /** Of the PCM, in Hz. */
  readonly sampleRate: number;
  readonly frontEnd: FrontEnd;
  /** The facts in the file's metadata; empty without metadata. */
  readonly facts: Facts;

  readonly #model: CompiledModel;
  readonly #embed: SignatureRunner;
  readonly #reset: SignatureRunner | undefined;
  readonly #carried: number; // samples before a hop that its first frame needs, too
  #waiting: Float32Array;
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * Open a file of `export_tflite`.
   *
   * @param model URL, path (Node.js) or content.
   * @throws A2vError: there is no such file, or it is not one that runs here.
   */
  static async open(model: string | URL | Uint8Array | ArrayBuffer, options: OpenOptions = {}): Promise<Embedder> {
    const given = model instanceof Uint8Array || model instanceof ArrayBuffer;
    const name = given ? "these bytes are" : `'${model}' is`;
    const content = given ? new Uint8Array(model) : await readFile(model);
    if (!isTflite(content)) throw new A2vError(`${name} not a TFLite model`);
    const facts = readFacts(content);
    if (facts.state === "external") {
      throw new A2vError(`${name} of --state=external, whose int8 states LiteRT.js cannot pass: expected internal`);
    }
    await loadRuntime(options.wasm);
    try {
      const compiled = await loadAndCompile(content, {accelerator: "wasm"});
      const embedder = new Embedder(compiled, facts);
      await embedder.reset();
      return embedder;
    } catch (error) {
      throw new A2vError(`${name} not a file of export_tflite that runs: ${firstLine(error)}`);
    }
  }

  private constructor(model: CompiledModel, facts: Facts) {
    const {embed, reset} = model.signatures;
    if (!embed) {
      throw new A2vError(`the model has the signatures ${Object.keys(model.signatures)}: expected 'embed'`);
    }
    const inputs = embed.getInputDetails();
    const [input] = inputs;
    if (inputs.length !== 1 || (input.name !== "pcm" && input.name !== "log_mel")) {
      throw new A2vError(`signature 'embed' takes ${inputs.map(({name}) => name)}: expected 'pcm' or 'log_mel'`);
    }
    const output = embed.getOutputDetails().find(({name}) => name === "embedding");
    const shape = [...input.shape];
    if (!output || output.dtype !== "float32" || output.shape.length !== 2) {
      throw new A2vError("signature 'embed' gives no 'embedding' of float32 [1, d]");
    }
    if (input.dtype !== "float32" || shape[0] !== 1 || shape.length !== (input.name === "pcm" ? 2 : 3)) {
      throw new A2vError(`${input.name} is ${input.dtype} [${shape}]`);
    }
    this.#model = model;
    this.#embed = embed;
    this.#reset = reset;
    this.facts = facts;
    this.frontEnd = new FrontEnd(facts.front_end);
    this.sampleRate = this.frontEnd.sampleRate;
    this.input = input.name;
    this.inputShape = shape.slice(1);
    this.embeddingDim = output.shape[1];
    this.streaming = reset !== undefined;

    // A file that takes PCM carries the samples of its frames itself.
    const takesPcm = this.input === "pcm";
    const samples = takesPcm ? shape[1] : this.frontEnd.samples(shape[1]);
    this.#carried = this.streaming && !takesPcm ? this.frontEnd.overlap : 0;
    this.hop = this.streaming ? samples - this.#carried : null;
    this.window = this.streaming ? null : samples;
    this.span = this.window ?? Math.round(((facts.window_ms ?? USUAL_WINDOW_MS) * this.sampleRate) / 1000);
    this.#waiting = new Float32Array(this.#carried);
  }

  /** Reset the state: the next embeddings are those of a newly opened file. */
  reset(): Promise<void> {
    return this.#inTurn(async () => {
      this.#waiting = new Float32Array(this.#carried);
      if (this.#reset) await runSignature(this.#reset, "trigger", new Float32Array(1), [1]);
    });
  }

  /** `hop` of a streaming model. @throws A2vError: the file holds a window model. */
  get streamHop(): number {
    if (this.hop === null) throw new A2vError("a window model cannot stream: export with --mode=streaming");
    return this.hop;
  }

  /**
   * Run the file once.
   *
   * @param values of `inputShape`, row by row: PCM as for `stream`, or float32 log-mel.
   * @returns `[embeddingDim]`.
   * @throws A2vError: another number of values, or samples of another type or scale.
   */
  async embed(values: Pcm): Promise<Float32Array> {
    const taken = this.input === "pcm" ? asPcm(values).slice() : Float32Array.from(values);
    return this.#inTurn(() => this.#run(taken));
  }

  /** Embed one window of PCM, `[window]`, with a window model of either input. */
  async embedWindow(pcm: Pcm): Promise<Float32Array> {
    if (this.streaming) throw new A2vError("a streaming model has no window: use `stream`");
    const taken = asPcm(pcm).slice();
    return this.#inTurn(() => this.#run(this.#asInput(taken)));
  }

  /**
   * Take the next samples of a stream and return the embeddings that they complete.
   *
   * @param pcm any number of samples: floats in [-1, 1], or Int16Array, Int32Array or Uint8Array of full
   *   scale. Samples short of a hop are kept for the next call.
   * @returns one embedding per completed hop, `[embeddingDim]`, of the window that ends with the hop's
   *   last sample.
   * @throws A2vError: the file holds a window model, or `pcm` has another type or scale.
   */
  async stream(pcm: Pcm): Promise<Float32Array[]> {
    const hop = this.streamHop;
    const taken = asPcm(pcm).slice();
    return this.#inTurn(async () => {
      const embeddings: Float32Array[] = [];
      const samples = joined(this.#waiting, taken);
      let at = 0;
      for (; at + this.#carried + hop <= samples.length; at += hop) {
        embeddings.push(await this.#run(this.#asInput(samples.subarray(at, at + this.#carried + hop))));
      }
      this.#waiting = samples.slice(at);
      return embeddings;
    });
  }

  /** Free the memory of the model, which JavaScript does not manage. */
  async close(): Promise<void> {
    await this.#inTurn(async () => this.#model.delete());
  }

  /** Start a task after those that were started before. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(task);
    this.#turn = done.catch(() => {});
    return done;
  }

  #asInput(pcm: Float32Array): Float32Array {
    return this.input === "pcm" ? pcm : this.frontEnd.logMel(pcm);
  }

  async #run(values: Float32Array): Promise<Float32Array> {
    const size = this.inputShape.reduce((product, n) => product * n);
    if (values.length !== size) {
      throw new A2vError(`${this.input} has ${values.length} values: the file takes [${this.inputShape.join(", ")}]`);
    }
    return runSignature(this.#embed, this.input, values, [1, ...this.inputShape]);
  }
}

/** Run a signature of one input; its only output, if it has any. */
async function runSignature(
  signature: SignatureRunner, name: string, values: Float32Array, shape: number[],
): Promise<Float32Array> {
  const input = new Tensor(values, shape);
  try {
    const outputs = Object.values(await signature.run({[name]: input}));
    const [first] = outputs.map((output) => output.toTypedArray() as Float32Array);
    for (const output of outputs) output.delete();
    return first;
  } catch (error) {
    throw new A2vError(`the model cannot be run: ${firstLine(error)}`);
  } finally {
    input.delete();
  }
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

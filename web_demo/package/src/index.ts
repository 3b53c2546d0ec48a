/** Audio embeddings in the browser and in Node.js. */

export {Embedder, type OpenOptions} from "./embedder.js";
export {A2vError} from "./errors.js";
export {FrontEnd} from "./front_end.js";
export {loadRuntime} from "./litert.js";
export {Microphone, type MicrophoneOptions} from "./microphone.js";
export type {Facts, FrontEndFacts} from "./metadata.js";
export {distance, embedClip, Examples, type Example, type Nearest} from "./nearest.js";
export {asPcm, type Pcm} from "./pcm.js";
export {Resampler} from "./resampler.js";

/** The worker's calls, as functions of the page. */

import {A2vError} from "@a2v-tf/web";
import type {Calls} from "./worker.js";

interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

interface Waiting {
  resolve(result: any): void;
  reject(error: Error): void;
}

const worker = new Worker("worker.js");
const waiting = new Map<number, Waiting>();
let calls = 0;

worker.onmessage = ({data: {id, result, error}}: MessageEvent<Answer>) => {
  const call = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) call?.resolve(result);
  else call?.reject(new A2vError(error));
};

worker.onerror = ({message}) => {
  for (const {reject} of waiting.values()) reject(new A2vError(`the worker ended: ${message}`));
  waiting.clear();
};

/** Call the worker; calls are answered in their order. */
export function call<Name extends keyof Calls>(name: Name, pcm?: Float32Array): ReturnType<Calls[Name]> {
  const answer = new Promise((resolve, reject) => waiting.set(++calls, {resolve, reject}));
  worker.postMessage({id: calls, name, pcm});
  return answer as ReturnType<Calls[Name]>;
}

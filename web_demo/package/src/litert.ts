/** Load LiteRT.js, once for each page, worker or process. */

import * as litert from "@litertjs/core";

import {A2vError, firstLine} from "./errors.js";

/** How a host prepares for LiteRT's loader script, and cleans up after it; Node.js needs it. */
export interface Host {
  /** Folder of LiteRT's wasm files if none is given, ending with a slash. */
  wasm(): string;
  /** Runs `load` with everything that LiteRT's loader script expects of a browser. */
  around<T>(load: () => Promise<T>): Promise<T>;
  /** Reads a file by path or URL. */
  read(file: string | URL): Promise<Uint8Array>;
}

const BROWSER: Host = {
  wasm() {
    throw new A2vError("no folder of LiteRT's wasm files is given: expected {wasm: \"/URL/of/wasm/\"}");
  },
  around: (load) => load(),
  async read(file) {
    const response = await fetch(file);
    if (!response.ok) throw new A2vError(`cannot read '${file}': ${response.status} ${response.statusText}`);
    return new Uint8Array(await response.arrayBuffer());
  },
};

let host = BROWSER;

/** Set by `node.ts`. */
export function setHost(other: Host): void {
  host = other;
}

export function readFile(file: string | URL): Promise<Uint8Array> {
  return host.read(file);
}

/**
 * Load LiteRT.js unless it is loaded.
 *
 * @param wasm URL of the folder with LiteRT's wasm files, a copy of `@litertjs/core/wasm`. Optional in
 *   Node.js. A URL of one loader script there, `litert_wasm_compat_internal.js`, chooses it.
 * @throws A2vError: they cannot be loaded.
 */
export async function loadRuntime(wasm?: string | URL): Promise<void> {
  if (!litert.getGlobalLiteRtPromise()) {
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    const at = new URL(wasm ?? host.wasm(), base).href;
    const folder = at.slice(0, at.lastIndexOf("/") + 1);
    // In a worker, the loader script would look for its wasm file beside the worker.
    const locateFile = (name: string) => folder + name;
    Object.assign(globalThis, {Module: {locateFile, printErr: withoutNotes, print: withoutNotes}});
    try {
      await host.around(() => litert.loadLiteRt(at));
    } catch (error) {
      throw new A2vError(`cannot load LiteRT.js from '${at}': ${firstLine(error)}`);
    }
  }
  await litert.getGlobalLiteRtPromise();
}

/** Pass on what LiteRT prints, without its notes on what it is about to do. */
function withoutNotes(line: string): void {
  if (!/^(INFO|WARNING|VERBOSE):/.test(line)) console.error(line);
}

/** The package in Node.js: LiteRT.js expects a browser, so its loader script gets what it asks for. */

import {readFile} from "node:fs/promises";
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {dirname} from "node:path";
import {fileURLToPath, pathToFileURL} from "node:url";
import vm from "node:vm";

import {A2vError, firstLine} from "./errors.js";
import {setHost} from "./litert.js";

export * from "./index.js";

const require = createRequire(import.meta.url);

/** Run a loader script as CommonJS, and leave its factory where LiteRT.js takes it. */
function importScripts(url: string): void {
  const file = fileURLToPath(url);
  const wrap = vm.runInThisContext(
    `(function (require, __filename, __dirname) { ${readFileSync(file, "utf8")}\nreturn ModuleFactory; })`,
    {filename: file},
  );
  Object.assign(globalThis, {ModuleFactory: wrap(require, file, dirname(file))});
}

/** LiteRT.js asks for a GPU, which it does not need: its warning that Node.js has none says nothing. */
function withoutGpuWarning(warn: typeof console.warn): typeof console.warn {
  return (...message) => String(message[0]).includes("WebGPU device") || warn(...message);
}

setHost({
  wasm: () => pathToFileURL(dirname(require.resolve("@litertjs/core/wasm/litert_wasm_internal.js"))).href + "/",

  async around(load) {
    const warn = console.warn;
    const before = {self: Reflect.get(globalThis, "self"), importScripts: Reflect.get(globalThis, "importScripts")};
    Object.assign(globalThis, {self: globalThis, importScripts});
    console.warn = withoutGpuWarning(warn);
    try {
      return await load();
    } finally {
      console.warn = warn;
      for (const [name, value] of Object.entries(before)) {
        if (value === undefined) Reflect.deleteProperty(globalThis, name);
        else Object.assign(globalThis, {[name]: value});
      }
    }
  },

  async read(file) {
    try {
      const path = String(file).startsWith("file:") ? fileURLToPath(file) : file;
      return new Uint8Array(await readFile(path));
    } catch (error) {
      throw new A2vError(`cannot read '${file}': ${firstLine(error)}`);
    }
  },
});

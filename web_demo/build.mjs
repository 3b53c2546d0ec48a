// node build.mjs [package|page|test ...]: build the parts named, or all, into package/dist and build/.

import {execFileSync} from "node:child_process";
import {createHash} from "node:crypto";
import {cpSync, readdirSync, readFileSync, rmSync} from "node:fs";
import {dirname, join, relative} from "node:path";
import {fileURLToPath} from "node:url";

import {build} from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const pretrained = join(here, "../a2v_tf/pretrained");
const wasm = join(here, "node_modules/@litertjs/core/wasm");

const parts = {
  /** The npm package: JavaScript with types, and the pretrained encoder. */
  async package() {
    rmSync(join(here, "package/dist"), {recursive: true, force: true});
    execFileSync("npx", ["tsc", "-p", "package/tsconfig.json"], {cwd: here, stdio: "inherit"});
    cpSync(join(here, "../LICENSE"), join(here, "package/LICENSE"));
    for (const file of ["streaming.tflite", "window.tflite"]) {
      cpSync(join(pretrained, file), join(here, "package/models", file));
    }
  },

  /** The demo page: static files for any web server. */
  async page() {
    const out = join(here, "build/page"), source = join(here, "page");
    const scripts = (names, define = {}) =>
      build({entryPoints: names.map((name) => join(source, name)), outdir: out, bundle: true, minify: true, format: "iife", target: "es2023", define, tsconfigRaw: {}});
    rmSync(out, {recursive: true, force: true});
    await scripts(["main.ts", "worker.ts"]);
    for (const file of ["index.html", "style.css", "icon.svg", "manifest.webmanifest"]) cpSync(join(source, file), join(out, file));
    cpSync(join(pretrained, "streaming.tflite"), join(out, "streaming.tflite"));
    for (const name of readdirSync(wasm).filter((name) => /wasm(_compat)?_internal/.test(name))) {
      cpSync(join(wasm, name), join(out, "wasm", name));
    }
    const files = readdirSync(out, {recursive: true, withFileTypes: true})
      .filter((entry) => entry.isFile())
      .map((entry) => relative(out, join(entry.parentPath ?? entry.path, entry.name)));
    const digest = createHash("sha256");
    for (const file of files.sort()) digest.update(file).update(readFileSync(join(out, file)));
    await scripts(["service_worker.ts"], {FILES: JSON.stringify(files), VERSION: JSON.stringify(digest.digest("hex"))});
  },

  /** The tests, for Node.js; and a worker of theirs, for the browser. */
  async test() {
    await build({entryPoints: [join(here, "test/bits_worker.ts")], outdir: join(here, "build/test"), bundle: true, format: "iife", tsconfigRaw: {}});
    const tests = readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.ts"));
    await build({
      entryPoints: tests.map((name) => join(here, "test", name)),
      outdir: join(here, "build/test"),
      bundle: true,
      format: "esm",
      platform: "node",
      packages: "external", // the package as it was built
      tsconfigRaw: {},
      outExtension: {".js": ".mjs"},
    });
  },
};

for (const part of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts)) await parts[part]();

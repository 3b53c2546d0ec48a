// node build.mjs [package|page|test ...]: build the parts named, or all, into package/dist and build/.

import {execFileSync} from "node:child_process";
import {cpSync, readdirSync, rmSync} from "node:fs";
import {dirname, join} from "node:path";
import {fileURLToPath} from "node:url";

import {build} from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const pretrained = join(here, "../a2v_tf/pretrained");

const parts = {
  /** The npm package: JavaScript with types, and the pretrained encoder. */
  async package() {
    rmSync(join(here, "package/dist"), {recursive: true, force: true});
    execFileSync("npx", ["tsc", "-p", "package/tsconfig.json"], {cwd: here, stdio: "inherit"});
    for (const file of ["streaming.tflite", "window.tflite"]) {
      cpSync(join(pretrained, file), join(here, "package/models", file));
    }
  },

  /** The tests, for Node.js. */
  async test() {
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

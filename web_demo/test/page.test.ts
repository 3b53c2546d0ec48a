/** The demo page in headless Chromium, whose microphone plays a file. Every test goes on from the one before. */

import assert from "node:assert/strict";
import {execFileSync} from "node:child_process";
import {mkdirSync, readFileSync, writeFileSync} from "node:fs";
import {createRequire} from "node:module";
import test, {after, before} from "node:test";

import {chromium, type Browser, type Page} from "playwright-core";

import {differing, FIXTURES, fixtures, readFloats, ROOT, Stack} from "./fixtures.js";
import {serve} from "./server.js";

const DEMO = `${ROOT}web_demo/`;
const SCREENSHOTS = `${DEMO}build/screenshots/`;
const PATIENCE = 120_000; // milliseconds, on a busy machine
const SIZES = {desktop: {width: 1200, height: 900}, phone: {width: 390, height: 844}};

const MICROPHONE = `${DEMO}build/microphone.wav`;
const RECORDING = `${DEMO}build/recording.wav`;
const RATE = 16_000;
let seed = 1; // of the noise in them

let browser: Browser, page: Page, site: Awaited<ReturnType<typeof serve>>;
const requested = new Set<string>();
const failures: string[] = [];

before(async () => {
  mkdirSync(SCREENSHOTS, {recursive: true});
  writeFileSync(MICROPHONE, wav(warble()));
  writeFileSync(RECORDING, wav(recording()));
  site = await serve([
    ["/repository/", ROOT],
    ["/", `${DEMO}build/page`],
  ]);
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox", // of root, in CI
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      `--use-file-for-fake-audio-capture=${MICROPHONE}`,
    ],
  });
  page = await browser.newPage({viewport: SIZES.desktop, colorScheme: "light"});
  page.setDefaultTimeout(PATIENCE);
  page.on("request", (request) => requested.add(new URL(request.url()).origin));
  page.on("pageerror", (error) => failures.push(error.message));
  page.on("console", (message) => message.type() === "error" && failures.push(message.text()));
  await page.addInitScript(() => {
    const captured: unknown[] = [];
    Object.assign(window, {captured});
    document.addEventListener("embedded", (event) => captured.push((event as CustomEvent).detail));
  });
  await page.goto(`${site.origin}/`);
  await page.getByRole("button", {name: "Start listening"}).waitFor();
});

after(async () => {
  await browser?.close();
  site?.server.close();
});

/** A 16-bit sound file. */
function wav(pcm: Float32Array): Buffer {
  const file = Buffer.alloc(44 + 2 * pcm.length);
  file.write("RIFF", 0);
  file.writeUInt32LE(36 + 2 * pcm.length, 4);
  file.write("WAVEfmt ", 8);
  file.writeUInt32LE(16, 16);
  [1, 1].forEach((value, i) => file.writeUInt16LE(value, 20 + 2 * i));
  [RATE, 2 * RATE].forEach((value, i) => file.writeUInt32LE(value, 24 + 4 * i));
  [2, 16].forEach((value, i) => file.writeUInt16LE(value, 32 + 2 * i));
  file.write("data", 36);
  file.writeUInt32LE(2 * pcm.length, 40);
  pcm.forEach((sample, i) => file.writeInt16LE(Math.round(32_767 * sample), 44 + 2 * i));
  return file;
}

/** A tone that rises and falls, and a clap every half second: four seconds that go on without a break. */
function warble(): Float32Array {
  let phase = 0;
  return Float32Array.from({length: 4 * RATE}, (_, i) => {
    const t = i / RATE;
    phase += (2 * Math.PI * (1_100 + 500 * Math.sin(2 * Math.PI * t))) / RATE;
    return 0.3 * Math.sin(phase) + 0.4 * (noise() - 0.5) * Math.exp(-40 * (t % 0.5)) + 0.01 * (noise() - 0.5);
  });
}

/** Pseudo-random numbers from 0 to 1. */
function noise(): number {
  seed = (seed * 16_807) % 2_147_483_647;
  return seed / 2_147_483_647;
}

/** Chirps, hum, noise, then chirps again: two seconds each. */
function recording(): Float32Array {
  const parts = [
    (t: number) => 0.5 * Math.sin(2 * Math.PI * (1_000 + 1_500 * ((4 * t) % 1)) * t),
    (t: number) => 0.3 * Math.sin(2 * Math.PI * 120 * t) + 0.2 * Math.sin(2 * Math.PI * 240 * t),
    () => 0.5 * (noise() - 0.5),
  ];
  return Float32Array.from({length: 8 * RATE}, (_, i) => parts[Math.floor(i / (2 * RATE)) % 3]((i % (2 * RATE)) / RATE));
}

// The model in Chromium ---------------------------------------------------------------------------

test("Chromium computes Python's bits", async () => {
  await page.evaluate(() => Object.assign(window, {bits: new Worker("/repository/web_demo/build/test/bits_worker.js")}));
  for (const entry of fixtures("embeddings")) {
    const inputs: number[][] | undefined = entry.inputs && (entry.inputs as Stack).rows().map((row) => [...row]);
    const found = await page.evaluate(
      ({model, pcm, inputs}) =>
        new Promise<number[][]>((done, failed) => {
          const worker: Worker = (window as any).bits;
          worker.onmessage = ({data}) => done(data.map((row: Float32Array) => [...row]));
          worker.onerror = ({message}) => failed(new Error(message));
          worker.postMessage({model, pcm: pcm && new Float32Array(pcm), inputs: inputs?.map((row) => new Float32Array(row))});
        }),
      {model: `/repository/${entry.model}`, pcm: inputs ? undefined : [...(entry.pcm as Stack).values], inputs},
    );
    const rows = found.map((row) => Float32Array.from(row)), expected = (entry.embeddings as Stack).rows();
    assert.equal(differing(rows, expected), 0, `${entry.model}, ${entry.sound}`);
  }
  await page.evaluate(() => (window as any).bits.terminate());
});

// The page ----------------------------------------------------------------------------------------

test("the keyboard starts and stops the microphone, whose embeddings are Python's", async (t) => {
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement!.id), "listen");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => Number(document.getElementById("count")!.textContent) >= 60);
  await page.keyboard.press("Enter");
  await page.getByRole("button", {name: "Start listening"}).waitFor();
  const captured = await page.evaluate(() =>
    ((window as any).captured as {pcm: Float32Array; embeddings: Float32Array[]}[]).map(({pcm, embeddings}) => ({
      pcm: [...pcm],
      embeddings: embeddings.map((row) => [...row]),
    })),
  );
  const found = captured.flatMap(({embeddings}) => embeddings.map((row) => Float32Array.from(row)));
  writeFileSync(`${DEMO}build/captured.f32`, new Uint8Array(Float32Array.from(captured.flatMap(({pcm}) => pcm)).buffer));
  execFileSync(process.env.PYTHON ?? "python3", ["web_demo/test/fixtures.py", FIXTURES, `--embed=${DEMO}build/captured.f32`], {
    cwd: ROOT,
    env: {...process.env, PYTHONPATH: "."},
    stdio: ["ignore", "ignore", "inherit"],
  });
  const all = readFloats(`${FIXTURES}embedded.f32`);
  const expected = found.map((_, i) => all.subarray(256 * i, 256 * (i + 1)));
  assert.equal(all.length, 256 * found.length);
  const loud = readFloats(`${DEMO}build/captured.f32`).filter((sample) => Math.abs(sample) > 0.1).length;
  assert.ok(loud > 0.3 * found.length * 1280, "the microphone plays the file");
  t.diagnostic(`${all.length} values of ${found.length} embeddings were compared`);
  assert.equal(differing(found, expected), 0);
});

test("a taught sound is recognised, kept and forgotten", async () => {
  await teach("Warble");
  await page.locator("#label", {hasText: /^Warble$/}).waitFor();
  assert.match((await page.locator("#votes").textContent())!, /^Warble: 7 of 7 votes, distance \d/);
  await teach("An <odd> name");
  await page.getByRole("button", {name: "Stop listening"}).click();
  await page.reload();
  await page.getByRole("button", {name: "Forget An <odd> name"}).click();
  assert.equal(await page.getByRole("button", {name: /^Forget/}).count(), 1);
});

async function teach(name: string): Promise<void> {
  await page.getByLabel("Name of the sound").fill(name);
  await page.keyboard.press("Enter");
  await page.getByText(`${name} (7 examples)`).waitFor();
}

test("moments of a recording that sound alike are found", async () => {
  await page.getByLabel("Open a recording").setInputFiles(RECORDING);
  await page.locator("#moments").waitFor();
  const slider = page.getByRole("slider", {name: /Moment/});
  await slider.focus();
  for (const key of ["Home", ...Array(18).fill("ArrowRight")]) await page.keyboard.press(key);
  assert.match((await page.locator("#moment-time").textContent())!, /0:01\.5/);
  const [first] = await page.locator("#similar li").allTextContents();
  const seconds = Number(/0:0(\d\.\d)/.exec(first)![1]);
  assert.ok(seconds > 6.9 && seconds <= 8, `chirps again between 6 and 8 s, found at ${first}`);
  await page.getByRole("button", {name: "Play it"}).click();
  await page.getByRole("button", {name: "Stop", exact: true}).click();
});

test("what is no recording gives one line", async () => {
  await page.getByLabel("Open a recording").setInputFiles(`${ROOT}README.md`);
  await page.getByRole("alert").filter({hasText: "'README.md' is not a recording that this browser plays"}).waitFor();
  await page.getByLabel("Open a recording").setInputFiles(RECORDING);
  await page.locator("#moments").waitFor();
  assert.ok(await page.getByRole("alert").isHidden());
});

test("it listens again after a visit, and knows what it was taught", async () => {
  await page.getByRole("button", {name: "Start listening"}).click();
  await page.waitForFunction(() => Number(document.getElementById("count")!.textContent) >= 150);
  await page.locator("#label", {hasText: /^Warble$/}).waitFor();
  await page.getByRole("button", {name: "Stop listening"}).click();
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const [name, size] of Object.entries(SIZES)) {
    test(`${colorScheme}, ${name}: axe finds no violation, and nothing is wider than the screen`, async () => {
      await page.emulateMedia({colorScheme});
      await page.setViewportSize(size);
      await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
      const {violations, passes} = await page.evaluate(() => (window as any).axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}));
      assert.deepEqual(violations.map(({id, nodes}: any) => [id, nodes[0].html]), []);
      assert.ok(passes.length > 20);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth));
      await page.screenshot({path: `${SCREENSHOTS}${name}_${colorScheme}.png`, fullPage: true});
    });
  }
}

test("a microphone that is not allowed, or ends while a sound is recorded, gives one line", async () => {
  await page.getByLabel("Name of the sound").fill("Unfinished");
  await page.keyboard.press("Enter");
  await page.getByRole("button", {name: "Recording 3 s"}).waitFor();
  await page.getByRole("button", {name: "Stop listening"}).click();
  await page.getByRole("alert").filter({hasText: "listening was stopped before the sound was recorded"}).waitFor();
  await page.getByRole("button", {name: "Record 3 s"}).waitFor();
  await page.evaluate(() => {
    navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
  });
  await page.getByRole("button", {name: "Start listening"}).click();
  await page.getByRole("alert").filter({hasText: "the microphone is not allowed: allow it in"}).waitFor();
  await page.getByRole("button", {name: "Start listening"}).waitFor();
});

test("the page works without a network after the first visit", async () => {
  await page.getByText("Everything for that is here now.").waitFor();
  site.server.closeAllConnections();
  await new Promise((closed) => site.server.close(closed));
  await page.reload();
  await page.getByRole("button", {name: "Start listening"}).click();
  await page.waitForFunction(() => Number(document.getElementById("count")!.textContent) >= 3);
});

test("no other host was asked, and nothing failed", () => {
  assert.deepEqual([...requested].filter((origin) => origin !== "null"), [site.origin]);
  assert.deepEqual(failures, []);
});

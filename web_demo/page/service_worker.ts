/** Keeps the page's files for visits without a network. build.mjs gives the list of files and its digest. */

import {supportsFeature} from "@litertjs/core";

declare const FILES: string[];
declare const VERSION: string;

const worker = self as unknown as ServiceWorkerGlobalScope;

/** All files but the form of LiteRT.js that this browser does not run. */
async function needed(): Promise<string[]> {
  const other = (await supportsFeature("relaxedSimd")) ? "wasm_compat_internal" : "wasm_internal";
  return FILES.filter((file) => !file.includes(other));
}

worker.addEventListener("install", (event) => {
  const keep = async () => (await caches.open(VERSION)).addAll(["./", ...(await needed())]);
  event.waitUntil(keep().then(() => worker.skipWaiting()));
});

worker.addEventListener("activate", (event) => {
  const clean = async () => {
    const old = (await caches.keys()).filter((name) => name !== VERSION);
    await Promise.all(old.map((name) => caches.delete(name)));
    await worker.clients.claim();
  };
  event.waitUntil(clean());
});

worker.addEventListener("fetch", (event) => {
  const answer = async () => (await (await caches.open(VERSION)).match(event.request)) ?? fetch(event.request);
  event.respondWith(answer());
});

/** A web server for the tests: files of folders, by the first part of the path. */

import {readFile} from "node:fs/promises";
import {createServer, type Server} from "node:http";
import type {AddressInfo} from "node:net";
import {extname, join, normalize} from "node:path";

const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/** @param folders by prefix, the longest first; the last is "/". */
export async function serve(folders: [string, string][]): Promise<{server: Server; origin: string}> {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url!, "http://localhost").pathname));
    const [prefix, folder] = folders.find(([start]) => path.startsWith(start))!;
    const file = join(folder, path.slice(prefix.length), path.endsWith("/") ? "index.html" : "");
    try {
      const content = await readFile(file);
      response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream").end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`};
}

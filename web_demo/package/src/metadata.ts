/** Read the facts in a file that `export_tflite` wrote. As `a2v_tf.runtime.metadata`. */

import {ByteBuffer} from "flatbuffers";

/** What the file says of itself; a file without metadata says nothing. */
export interface Facts {
  mode?: "streaming" | "window";
  state?: "internal" | "external" | null;
  input?: "pcm" | "log_mel";
  quantized?: boolean;
  encoder?: string;
  task?: string;
  window_ms?: number;
  hop_ms?: number | null;
  embedding_dim?: number;
  front_end?: FrontEndFacts;
  [fact: string]: unknown;
}

/** The fields of `a2v_tf.frontend.FrontEnd`. */
export interface FrontEndFacts {
  sample_rate: number;
  window_length: number;
  hop_length: number;
  fft_length: number;
  mel_bins: number;
  mel_low_hz: number;
  mel_high_hz: number;
  log_offset: number;
}

// Slots of fields in TFLite's schema and in that of its metadata.
const BUFFERS = 4, ENTRIES = 6;
const ENTRY_NAME = 0, ENTRY_BUFFER = 1;
const DATA = 0;
const SUBGRAPHS = 3, DESCRIPTION = 1; // of the metadata

/** Whether a file has the identifier of TFLite's flatbuffers. */
export function isTflite(file: Uint8Array): boolean {
  return new TextDecoder().decode(file.subarray(4, 8)) === "TFL3";
}

/** The facts of a file; empty for one without metadata. */
export function readFacts(file: Uint8Array): Facts {
  try {
    const bytes = new ByteBuffer(file);
    const model = bytes.readInt32(0);
    const buffers = tables(bytes, model, BUFFERS);
    for (const entry of tables(bytes, model, ENTRIES)) {
      if (text(bytes, entry, ENTRY_NAME) !== "TFLITE_METADATA") continue;
      const buffer = buffers[scalar(bytes, entry, ENTRY_BUFFER)];
      return officialFacts(vectorOfBytes(bytes, buffer, DATA));
    }
  } catch {
    // Damaged metadata say nothing; whether the model is intact, LiteRT decides.
  }
  return {};
}

/** The facts in the official metadata: JSON in the description of the graph. */
function officialFacts(metadata: Uint8Array): Facts {
  const bytes = new ByteBuffer(metadata);
  const [graph] = tables(bytes, bytes.readInt32(0), SUBGRAPHS);
  const facts: unknown = JSON.parse(text(bytes, graph, DESCRIPTION));
  return typeof facts === "object" && facts !== null ? (facts as Facts) : {};
}

// Flatbuffers without generated code --------------------------------------------------------------

/** Position of a field; 0 if the table does not have it. */
function field(bytes: ByteBuffer, table: number, slot: number): number {
  const offset = bytes.__offset(table, 4 + 2 * slot);
  return offset && table + offset;
}

function tables(bytes: ByteBuffer, table: number, slot: number): number[] {
  const at = field(bytes, table, slot);
  if (!at) return [];
  const start = bytes.__vector(at);
  return Array.from({length: bytes.__vector_len(at)}, (_, i) => bytes.__indirect(start + 4 * i));
}

function text(bytes: ByteBuffer, table: number, slot: number): string {
  const at = field(bytes, table, slot);
  return at ? String(bytes.__string(at)) : "";
}

function scalar(bytes: ByteBuffer, table: number, slot: number): number {
  const at = field(bytes, table, slot);
  return at && bytes.readUint32(at);
}

function vectorOfBytes(bytes: ByteBuffer, table: number, slot: number): Uint8Array {
  const at = field(bytes, table, slot);
  if (!at) return new Uint8Array();
  const start = bytes.__vector(at);
  return bytes.bytes().slice(start, start + bytes.__vector_len(at));
}

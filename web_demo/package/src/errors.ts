/** What a user can fix: one line with the offending value, and what was expected. */
export class A2vError extends Error {
  override readonly name = "A2vError";
}

/** The first line of whatever was thrown. */
export function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split("\n")[0];
}

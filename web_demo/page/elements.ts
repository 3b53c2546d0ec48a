/** The elements of index.html, and the one place where errors are shown. */

export function element<E extends HTMLElement = HTMLElement>(id: string): E {
  return document.getElementById(id) as E;
}

/** Show what went wrong, until the next thing goes right. */
export function notice(error: unknown): void {
  element("notice").textContent = error === null ? "" : String(error instanceof Error ? error.message : error);
  element("notice").hidden = error === null;
}

/** Seconds as a clock shows them, 1:02.5. */
export function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
}

/** Call a function whenever what is drawn has to be drawn again: at another size, or in other colours. */
export function onAppearance(draw: () => void): void {
  addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

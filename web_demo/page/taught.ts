/** Taught sounds: their embeddings, which this browser keeps, and their list. */

import {Examples} from "@a2v-tf/web";

import {element, notice} from "./elements.js";

export class Taught {
  examples = new Examples();
  unknownAbove = Infinity;
  readonly #key: string; // embeddings of another model mean something else

  constructor(model: string) {
    this.#key = `taught ${model}`;
    try {
      const kept: {label: string; embedding: number[]}[] = JSON.parse(localStorage.getItem(this.#key) ?? "[]");
      for (const {label, embedding} of kept) this.examples.add(label, [Float32Array.from(embedding)]);
    } catch {
      notice("the taught sounds that this browser kept cannot be read");
    }
    this.#changed();
  }

  add(label: string, embeddings: Float32Array[]): void {
    this.examples.add(label, embeddings);
    this.#changed();
  }

  remove(label: string): void {
    const kept = this.examples.all.filter((example) => example.label !== label);
    this.examples = new Examples();
    for (const example of kept) this.examples.add(example.label, [example.embedding]);
    this.#changed();
  }

  /** The mean of each label's embeddings. */
  prototypes(): {label: string; embedding: Float32Array}[] {
    return [...Map.groupBy(this.examples.all, ({label}) => label)].map(([label, examples]) => ({
      label,
      embedding: examples[0].embedding.map((_, i) => examples.reduce((sum, {embedding}) => sum + embedding[i], 0) / examples.length),
    }));
  }

  #changed(): void {
    this.unknownAbove = this.examples.unknownAbove();
    const kept = this.examples.all.map(({label, embedding}) => ({label, embedding: [...embedding]}));
    try {
      localStorage.setItem(this.#key, JSON.stringify(kept));
    } catch {
      notice("this browser keeps nothing for this page: taught sounds last until it is closed");
    }
    element("taught").replaceChildren(...this.prototypes().map(({label}) => this.#row(label)));
    if (this.examples.all.length === 0) {
      element("label").textContent = "–";
      element("votes").textContent = "Start listening, and teach a sound.";
    }
  }

  #row(label: string): HTMLLIElement {
    const row = document.createElement("li"), name = document.createElement("span"), button = document.createElement("button");
    const count = this.examples.all.filter((example) => example.label === label).length;
    name.textContent = `${label} (${count} examples)`;
    button.textContent = "Forget";
    button.setAttribute("aria-label", `Forget ${label}`);
    button.onclick = () => this.remove(label);
    row.append(name, button);
    return row;
  }
}

/** The demo page: opens the model, then its parts. */

import {FrontEnd} from "@a2v-tf/web";

import {element, notice} from "./elements.js";
import {Listening} from "./listening.js";
import {call} from "./model.js";
import {RecordingPart} from "./recording.js";
import {Taught} from "./taught.js";

const TAUGHT_SECONDS = 3;

async function main(): Promise<void> {
  const opened = await call("open");
  const {facts} = opened, frontEnd = new FrontEnd(facts.front_end);
  const taught = new Taught(String(facts.weights_and_scales));
  const listening = new Listening(opened, frontEnd, taught);
  new RecordingPart(opened, frontEnd);
  letTeach(listening, taught);
  element("model").textContent = `${facts.encoder}, ${facts.embedding_dim} numbers every ${facts.hop_ms} ms.`;
}

function letTeach(listening: Listening, taught: Taught): void {
  const form = element<HTMLFormElement>("teach"), name = element<HTMLInputElement>("name");
  const button = form.querySelector("button")!;
  button.disabled = false;
  form.onsubmit = async (event) => {
    event.preventDefault();
    const label = name.value.trim();
    if (label === "") return;
    button.disabled = true;
    try {
      await listening.start();
      button.textContent = `Recording ${TAUGHT_SECONDS} s`;
      const pcm = await listening.record(TAUGHT_SECONDS);
      taught.add(label, await call("clip", pcm));
      name.value = "";
    } catch (error) {
      notice(error);
    }
    button.textContent = `Record ${TAUGHT_SECONDS} s`;
    button.disabled = false;
    name.focus();
  };
}

async function keepForOffline(): Promise<void> {
  await navigator.serviceWorker?.register("service_worker.js");
  await navigator.serviceWorker?.ready;
  element("offline").textContent = "Everything for that is here now.";
}

main().catch((error) => {
  element("listen").textContent = "No model";
  notice(error);
});
keepForOffline().catch(() => {
  element("offline").textContent = "This browser does not allow that here.";
});

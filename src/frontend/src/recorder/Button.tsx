import { useSignal } from "@preact/signals";
import type { ComponentType } from "preact";

import { missing } from "../later";
import { recorderOpen } from "../state";
import { recording } from "../travel";
import { BUTTON, WORDS } from "./strings-first";

/** Says whether the server records, and opens the recorder's panel, which comes when it is first asked for. */
export function RecorderButton() {
  const panel = useSignal<ComponentType | null>(null);
  const show = async () => {
    recorderOpen.value = true;
    try {
      const { Panel } = await import("./Panel");
      panel.value = Panel;
    } catch {
      // Another version of the server has other files.
      missing.value = true;
    }
  };
  const state = recording.value?.state ?? null;
  const words = state === null ? WORDS.asking : BUTTON[state];
  const failed = state === "failed" ? `: ${WORDS.failed}` : "";
  const Shown = panel.value;
  return (
    <>
      <button
        type="button"
        class={`recorder-button recorder-${state ?? "asking"}`}
        aria-haspopup="dialog"
        aria-label={`${words}${failed}; ${WORDS.open}`}
        data-testid="recorder"
        onClick={() => void show()}
      >
        <span class="recorder-dot" aria-hidden="true">
          {state === "failed" ? "!" : ""}
        </span>
        {words}
      </button>
      {Shown !== null && <Shown />}
    </>
  );
}

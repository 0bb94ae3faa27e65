import { useSignalEffect } from "@preact/signals";
import type { ComponentType } from "preact";
import { useRef } from "preact/hooks";

import { recorderOpen } from "../state";
import { Compare } from "./Compare";
import { Events } from "./Events";
import { askRecording, tab, type TabName } from "./model";
import { Status } from "./Status";
import * as strings from "./strings";
import "./style.css";
import { Take } from "./Take";
import { WhatIf } from "./WhatIf";

const PARTS: readonly (readonly [TabName, ComponentType])[] = [
  ["status", Status],
  ["events", Events],
  ["take", Take],
  ["whatif", WhatIf],
  ["compare", Compare],
];

/** The recorder's dialog. */
export function Panel() {
  const dialog = useRef<HTMLDialogElement>(null);
  useSignalEffect(() => {
    if (!recorderOpen.value) return dialog.current?.close();
    void askRecording();
    if (dialog.current?.open === false) dialog.current.showModal();
    return keepKeys(dialog.current);
  });
  return (
    <dialog
      ref={dialog}
      class="recorder"
      aria-label={strings.LABELS.title}
      data-testid="recorder-panel"
      onClose={() => (recorderOpen.value = false)}
    >
      <div class="head">
        <h2>{strings.LABELS.title}</h2>
        <Tabs />
        <button type="button" onClick={() => (recorderOpen.value = false)}>
          {strings.LABELS.close}
        </button>
      </div>
      {recorderOpen.value && <Part />}
    </dialog>
  );
}

/** The page's own keys must not act behind the dialog; gives what ends that. */
function keepKeys(dialog: HTMLDialogElement | null): () => void {
  const keep = (event: KeyboardEvent) => {
    const inside = event.target instanceof Node && dialog?.contains(event.target) === true;
    // The browser closes the dialog; it must not unpin or resume as well.
    if (!inside || event.key === "Escape") event.stopPropagation();
  };
  window.addEventListener("keydown", keep, { capture: true });
  return () => window.removeEventListener("keydown", keep, { capture: true });
}

const STEPS: Readonly<Record<string, number>> = { ArrowLeft: -1, ArrowRight: 1 };

function Tabs() {
  const turn = (event: KeyboardEvent) => {
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const place = PARTS.findIndex(([name]) => name === tab.value) + step;
    const [name] = PARTS.at(place % PARTS.length) ?? ["status"];
    tab.value = name;
    document.getElementById(`recorder-tab-${name}`)?.focus();
  };
  return (
    <div class="segments" role="tablist" aria-label={strings.LABELS.title} onKeyDown={turn}>
      {PARTS.map(([name]) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`recorder-tab-${name}`}
          aria-controls="recorder-part"
          aria-selected={tab.value === name}
          tabIndex={tab.value === name ? 0 : -1}
          onClick={() => (tab.value = name)}
        >
          {strings.TABS[name]}
        </button>
      ))}
    </div>
  );
}

function Part() {
  const [, Shown] = PARTS.find(([name]) => name === tab.value) ?? ["status", Status];
  return (
    <div id="recorder-part" class="part" role="tabpanel" tabIndex={0} aria-labelledby={`recorder-tab-${tab.value}`}>
      <Shown />
    </div>
  );
}

import { useSignal, useSignalEffect, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

import { STATE_KEYS } from "../palette";
import { enable, enabled } from "../keys";
import { helping, uncopied } from "../state";
import * as strings from "../strings";
import { FILTER_HELP, KEYS } from "../strings-later";
import { Doctor } from "./Doctor";
import { STATUSES } from "../wire";

interface ModalProps {
  readonly open: Signal<unknown>;
  readonly title: string;
  readonly close: () => void;
  readonly children: ComponentChildren;
}

function Modal({ open, title, close, children }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  useSignalEffect(() => {
    if (open.value) dialog.current?.showModal();
    else dialog.current?.close();
  });
  return (
    <dialog ref={dialog} aria-label={title} onClose={close}>
      <div class="head">
        <h2>{title}</h2>
        <button type="button" onClick={close}>
          {strings.LABELS.close}
        </button>
      </div>
      {children}
    </dialog>
  );
}

export function Help() {
  const shortcuts = useSignal(enabled());
  return (
    <Modal open={helping} title={strings.LABELS.keys} close={() => (helping.value = false)}>
      <div class="help">
        <Pairs pairs={KEYS} />
        <div>
          <h3>{strings.LABELS.filter}</h3>
          <Pairs pairs={FILTER_HELP} />
        </div>
        <div>
          <h3>{strings.LABELS.legend}</h3>
          <ul class="letters-help">
            {STATUSES.map((status) => (
              <li>
                <span class={`swatch swatch-${STATE_KEYS[status]}`}>{status}</span>
                {strings.STATE_NAMES[status]}
              </li>
            ))}
          </ul>
        </div>
      </div>
      <label>
        <input
          type="checkbox"
          checked={shortcuts.value}
          onChange={(event) => {
            shortcuts.value = event.currentTarget.checked;
            enable(shortcuts.value);
          }}
        />{" "}
        {strings.LABELS.shortcuts}
      </label>
      <Doctor />
    </Modal>
  );
}

function Pairs({ pairs }: { readonly pairs: readonly (readonly [string, string])[] }) {
  return (
    <dl>
      {pairs.map(([term, meaning]) => (
        <div>
          <dt>
            <kbd>{term}</kbd>
          </dt>
          <dd>{meaning}</dd>
        </div>
      ))}
    </dl>
  );
}

export function CopyText() {
  return (
    <Modal open={uncopied} title={strings.LABELS.copy} close={() => (uncopied.value = null)}>
      <p>{strings.LABELS.copyThis}</p>
      <textarea readonly rows={16} value={uncopied.value ?? ""} onFocus={(event) => event.currentTarget.select()} />
    </Modal>
  );
}

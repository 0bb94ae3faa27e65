import { useEffect } from "preact/hooks";

import * as model from "./model";
import { fromField, PRESETS, toField, type Preset } from "./range";
import { NoPast } from "./Status";
import * as strings from "./strings";

const PRESET_NAMES = Object.keys(PRESETS) as readonly Preset[];

/** A stretch of time as a file. */
export function Take() {
  useEffect(() => model.take("window"), []);
  if (!model.hasPast.value) return <NoPast />;
  return (
    <>
      <div class="line">
        <Field label={strings.LABELS.from} value={model.range.value.from} set={(from) => setRange({ from })} />
        <Field label={strings.LABELS.to} value={model.range.value.to} set={(to) => setRange({ to })} />
        <div class="line" role="group" aria-label={strings.LABELS.presets}>
          {PRESET_NAMES.map((preset) => (
            <button key={preset} type="button" onClick={() => model.take(preset)}>
              {strings.PRESET_WORDS[preset]}
            </button>
          ))}
        </div>
      </div>
      {model.wellOrdered.value ? <Links /> : <p class="hint hint-bad">{strings.LABELS.wrongRange}</p>}
      <p class="hint">{strings.LABELS.holds}</p>
      <p class="hint">
        {strings.LABELS.replay} <code>{strings.LABELS.command}</code>
      </p>
      <p class="hint">{strings.LABELS.csvHolds}</p>
    </>
  );
}

const setRange = (changes: { readonly from?: number; readonly to?: number }): void => {
  model.range.value = { ...model.range.value, ...changes };
};

/** In tabs of their own: a refusal is shown there, and the page goes on here. */
function Links() {
  return (
    <p class="line links">
      <a href={model.exportLink.value} target="_blank" rel="noopener" data-testid="recorder-export">
        {strings.LABELS.incident}
      </a>
      <a href={model.csvLink.value} target="_blank" rel="noopener" data-testid="recorder-csv">
        {strings.LABELS.csv}
      </a>
    </p>
  );
}

interface FieldProps {
  readonly label: string;
  /** Epoch seconds. */
  readonly value: number;
  readonly set: (at: number) => void;
}

/** An instant in local time. */
export function Field({ label, value, set }: FieldProps) {
  return (
    <label>
      {label}{" "}
      <input
        type="datetime-local"
        step={1}
        value={toField(value)}
        onChange={(event) => {
          const at = fromField(event.currentTarget.value);
          if (at !== null) set(at);
        }}
      />
    </label>
  );
}

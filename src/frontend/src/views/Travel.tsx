import { canStepBack, marks, paused } from "../state";
import * as strings from "../strings";
import { jump, pausePlay, play, speed, SPEEDS, step } from "../travel";
import { useSignal } from "@preact/signals";

/** From event to event, from sample to sample, and as a film. */
export function Travel() {
  return (
    <div class="travel">
      <Button label={strings.LABELS.earlier} glyph="⇤" off={marks.value.length === 0} act={() => jump(-1)} />
      <Button label={strings.LABELS.back} glyph="←" off={!canStepBack.value} act={() => step(-1)} />
      {paused.value && <Player />}
      <Button label={strings.LABELS.forth} glyph="→" off={!paused.value} act={() => step(1)} />
      <Button label={strings.LABELS.later} glyph="⇥" off={!paused.value} act={() => jump(1)} />
    </div>
  );
}

function Player() {
  const chosen = useSignal(1);
  const plays = speed.value !== null;
  return (
    <>
      <Button
        label={strings.LABELS[plays ? "stopPlay" : "play"]}
        glyph={plays ? "❚❚" : "▶"}
        off={false}
        act={() => (plays ? pausePlay() : play(chosen.value))}
      />
      <select
        aria-label={strings.LABELS.speed}
        value={speed.value ?? chosen.value}
        onChange={(event) => {
          chosen.value = Number(event.currentTarget.value);
          if (plays) play(chosen.value);
        }}
      >
        {SPEEDS.map((times) => (
          <option value={times}>{strings.times(times)}</option>
        ))}
      </select>
    </>
  );
}

interface ButtonProps {
  readonly label: string;
  readonly glyph: string;
  readonly off: boolean;
  readonly act: () => void;
}

function Button({ label, glyph, off, act }: ButtonProps) {
  return (
    <button type="button" aria-label={label} title={label} disabled={off} onClick={act}>
      {glyph}
    </button>
  );
}

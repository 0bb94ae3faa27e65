import { RecorderButton } from "../recorder/Button";
import { behind, connection, copied, helping, holding, now, pause, paused, sample, says } from "../state";
import * as strings from "../strings";
import { live, recording, replaying, speed } from "../travel";
import { Doctor } from "./Doctor";

interface HeaderProps {
  readonly place: string;
  readonly copy: () => void;
}

export function Header({ place, copy }: HeaderProps) {
  return (
    <header class="top">
      <h1>{strings.PRODUCT}</h1>
      <p class="place">{place}</p>
      <Connection />
      {holding.value !== null && !replaying.value && (
        <p class="holding" data-testid="holding">
          {strings.holding(holding.value, says.value?.of ?? null)}
        </p>
      )}
      <div class="tools">
        {sample.value !== null && <Clock />}
        <RecorderButton />
        {sample.value !== null && (
          <>
            <button type="button" onClick={copy} data-testid="copy">
              {strings.LABELS[copied.value ? "copied" : "copy"]}
            </button>
            <button type="button" onClick={() => (helping.value = true)} aria-label={strings.LABELS.keys}>
              ?
            </button>
          </>
        )}
      </div>
    </header>
  );
}

function Clock() {
  const at = sample.value?.at ?? 0;
  const standing = speed.value === null ? strings.pausedAt(at, behind.value) : strings.playingAt(at, speed.value);
  const words = paused.value ? standing : strings.clockTime(at);
  return (
    <>
      <span class={paused.value ? "clock clock-paused" : "clock"} data-testid="clock">
        {words}
      </span>
      <button type="button" data-testid="pause" onClick={() => (paused.value ? live() : pause())}>
        {strings.LABELS[replaying.value ? "end" : paused.value ? "live" : "pause"]}
      </button>
    </>
  );
}

function Connection() {
  if (replaying.value && recording.value !== null) {
    return (
      <p class="connection" data-testid="connection" role="status">
        <strong>{strings.replay(recording.value)}</strong>
      </p>
    );
  }
  const words = strings.connection(connection.value, now.value);
  return (
    <div class={words.why === "" ? "connection" : "connection connection-long"} data-testid="connection">
      <span class={`dot dot-${connection.value.kind}`} aria-hidden="true" />
      {/* The countdown stays outside: a status that changes every second would be read out every second. */}
      <span role="status">
        <strong>{words.short}</strong>
        {words.why !== "" && `: ${words.why}`}
      </span>
      {words.why !== "" && <Doctor />}
      {words.countdown !== "" && <span class="countdown"> {words.countdown}</span>}
    </div>
  );
}

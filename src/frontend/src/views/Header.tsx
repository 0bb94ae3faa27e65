import { behind, connection, copied, follow, helping, holding, now, pause, paused, sample, says } from "../state";
import * as strings from "../strings";
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
      {holding.value !== null && (
        <p class="holding" data-testid="holding">
          {strings.holding(holding.value, says.value?.of ?? null)}
        </p>
      )}
      {sample.value !== null && (
        <div class="tools">
          <Clock />
          <button type="button" onClick={copy} data-testid="copy">
            {strings.LABELS[copied.value ? "copied" : "copy"]}
          </button>
          <button type="button" onClick={() => (helping.value = true)} aria-label={strings.LABELS.keys}>
            ?
          </button>
        </div>
      )}
    </header>
  );
}

function Clock() {
  const at = sample.value?.at ?? 0;
  const words = paused.value ? strings.pausedAt(at, behind.value) : strings.clockTime(at);
  return (
    <>
      <span class={paused.value ? "clock clock-paused" : "clock"} data-testid="clock">
        {words}
      </span>
      <button type="button" data-testid="pause" onClick={() => (paused.value ? follow() : pause())}>
        {paused.value ? strings.LABELS.resume : strings.LABELS.pause}
      </button>
    </>
  );
}

function Connection() {
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

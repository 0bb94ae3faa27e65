import { connection, holding, now, says } from "../state";
import * as strings from "../strings";

export function Header({ place }: { readonly place: string }) {
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
    </header>
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
      {words.countdown !== "" && <span class="countdown"> {words.countdown}</span>}
    </div>
  );
}

import { error, notices, outdatedSince, sample } from "../state";
import * as strings from "../strings";
import { Chart } from "./Chart";
import { Grid } from "./Grid";
import { Header } from "./Header";
import { InFlight } from "./InFlight";
import { Tiles } from "./Tiles";
import { Verdict } from "./Verdict";

/** From so many slots on, the grid takes the whole width. */
const MANY_SLOTS = 400;

export function App({ place }: { readonly place: string }) {
  return (
    <>
      <Header place={place} />
      <main class={outdatedSince.value === null ? "" : "old"}>
        <Alerts />
        <Verdict />
        <Notices />
        {sample.value !== null && (
          <div class={sample.value.capacity.slots > MANY_SLOTS ? "board board-large" : "board"}>
            <Tiles sample={sample.value} />
            <Grid />
            <Chart />
            <InFlight sample={sample.value} />
          </div>
        )}
      </main>
    </>
  );
}

function Alerts() {
  return (
    <>
      {error.value !== null && (
        <p class="alert" role="alert" data-testid="error">
          {error.value}
        </p>
      )}
      {outdatedSince.value !== null && <p class="outdated">{strings.outdated(outdatedSince.value)}</p>}
    </>
  );
}

function Notices() {
  if (notices.value.length === 0) return null;
  return (
    <section class="panel notices" data-testid="notices">
      <h2>{strings.LABELS.notices}</h2>
      <ul>
        {notices.value.map((notice) => (
          <li>{notice}</li>
        ))}
      </ul>
    </section>
  );
}

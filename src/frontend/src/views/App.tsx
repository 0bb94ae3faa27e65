import "../recorder/first.css";
import { later, missing } from "../later";
import { choices, error, notices, outdatedSince, sample } from "../state";
import * as strings from "../strings";
import { Alerts } from "./Alerts";
import { Doctor } from "./Doctor";
import { Header } from "./Header";
import { InFlight } from "./InFlight";
import { Speaker } from "./Speaker";
import { Tiles } from "./Tiles";
import { Timeline } from "./Timeline";
import { Verdict } from "./Verdict";
import { Workers } from "./Workers";

/** From so many slots on, the grid takes the whole width. */
const MANY_SLOTS = 600;

export interface AppProps {
  readonly place: string;
  /** The path of the dashboard's own WebSocket, as it stands in a request line. */
  readonly ownPath: string;
  readonly copy: () => void;
}

export function App({ place, ownPath, copy }: AppProps) {
  const slots = sample.value?.capacity.slots ?? 0;
  const { Help, CopyText } = later.value ?? {};
  return (
    <>
      <Header place={place} copy={copy} />
      <main class={outdatedSince.value === null ? "" : "old"}>
        <Troubles />
        <Verdict />
        <Alerts />
        {sample.value !== null && (
          <>
            <Tiles sample={sample.value} />
            <div class={`board board-${slots > MANY_SLOTS ? "large" : choices.value.panel}`}>
              <Workers />
              <Timeline />
              <InFlight ownPath={ownPath} />
            </div>
          </>
        )}
      </main>
      <Speaker />
      {Help !== undefined && <Help />}
      {CopyText !== undefined && <CopyText />}
    </>
  );
}

function Troubles() {
  return (
    <>
      {error.value !== null && (
        <p class="alert" role="alert" data-testid="error">
          {error.value} <Doctor />
        </p>
      )}
      {missing.value && (
        <p class="outdated" role="alert">
          {strings.LABELS.missing}
        </p>
      )}
      {outdatedSince.value !== null && <p class="outdated">{strings.outdated(outdatedSince.value)}</p>}
      {notices.value.length > 0 && (
        <ul class="notices" data-testid="notices" aria-label={strings.LABELS.notices}>
          {notices.value.map((notice) => (
            <li>{notice}</li>
          ))}
        </ul>
      )}
    </>
  );
}

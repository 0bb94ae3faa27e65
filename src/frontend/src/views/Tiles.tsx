import type { ComponentChildren } from "preact";

import type { Point } from "../history";
import { isSlow } from "../requests";
import { spark } from "../spark";
import { pointsBefore, requests, says } from "../state";
import * as strings from "../strings";
import type { Sample } from "../wire";
import type { Verdict } from "../verdict";

export function Tiles({ sample }: { readonly sample: Sample }) {
  if (says.value === null) return null;
  const slow = requests.value.filter((request) => isSlow(request, sample.at)).length;
  return (
    <section class="tiles">
      <Tile id="tile-busy" {...strings.busyTile(sample, says.value)} pick={(point) => point.busy} top={says.value.of}>
        <Share says={says.value} />
      </Tile>
      <Tile id="tile-requests" {...strings.requestsTile(sample)} pick={(point) => point.requestsPerSecond} />
      <Tile id="tile-bytes" {...strings.bytesTile(sample)} pick={(point) => point.bytesPerSecond} />
      <Tile id="tile-oldest" {...strings.oldestTile(sample, says.value, slow)} pick={(point) => point.oldestSeconds} />
    </section>
  );
}

interface TileProps extends strings.TileWords {
  readonly id: string;
  readonly children?: ComponentChildren;
  readonly pick: (point: Point) => number | null;
  readonly top?: number;
}

function Tile({ id, label, value, more, means, children, pick, top = 0 }: TileProps) {
  const missing = value.startsWith(strings.NOT_AVAILABLE) || value === strings.NONE;
  return (
    <div class="tile" data-testid={id}>
      <h2>{label}</h2>
      <p class={missing ? "value value-missing" : "value"}>{value}</p>
      <p class="more">{more}</p>
      <Sparkline pick={pick} top={top} />
      {children}
      <p class="means">{means}</p>
    </div>
  );
}

const WIDTH = 120;
const HEIGHT = 36;

/** The last five minutes. */
function Sparkline({ pick, top }: { readonly pick: (point: Point) => number | null; readonly top: number }) {
  const { line, area } = spark(pointsBefore.value, pick, { width: WIDTH, height: HEIGHT, top });
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={area} />
      <path class="spark-line" d={line} />
    </svg>
  );
}

function Share({ says: { busy, of, level } }: { readonly says: Verdict }) {
  return (
    <div class={`share share-${level}`} aria-hidden="true">
      <div style={{ width: `${of > 0 ? Math.min(100, (100 * busy) / of) : 0}%` }} />
    </div>
  );
}

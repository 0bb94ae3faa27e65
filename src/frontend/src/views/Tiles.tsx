import type { ComponentChildren } from "preact";

import { says } from "../state";
import * as strings from "../strings";
import type { Sample } from "../wire";

export function Tiles({ sample }: { readonly sample: Sample }) {
  return (
    <section class="tiles">
      <Tile id="tile-busy" {...strings.busyTile(sample)}>
        <Share />
      </Tile>
      <Tile id="tile-requests" {...strings.requestsTile(sample)} />
      <Tile id="tile-bytes" {...strings.bytesTile(sample)} />
      <Tile id="tile-uptime" {...strings.uptimeTile(sample)} />
      <Tile id="tile-processes" {...strings.processesTile(sample)} />
    </section>
  );
}

interface TileProps extends strings.TileWords {
  readonly id: string;
  readonly children?: ComponentChildren;
}

function Tile({ id, label, value, more, children }: TileProps) {
  return (
    <div class="tile" data-testid={id}>
      <h2>{label}</h2>
      <p class={value.startsWith(strings.NOT_AVAILABLE) ? "value value-missing" : "value"}>{value}</p>
      {children}
      <p class="more">{more}</p>
    </div>
  );
}

function Share() {
  if (says.value === null) return null;
  const { busy, of } = says.value;
  return (
    <div class="share" aria-hidden="true">
      <div style={{ width: `${of > 0 ? Math.min(100, (100 * busy) / of) : 0}%` }} />
    </div>
  );
}

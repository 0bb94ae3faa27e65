import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { WINDOW_NAMES } from "../address";
import { nearest } from "../axis";
import { later } from "../later";
import {
  choose,
  cursorAt,
  elsewhere,
  frozenAt,
  marks,
  oldest,
  paused,
  points,
  sample,
  scheme,
  span,
  windowName,
} from "../state";
import { pointOf } from "../memory";
import * as strings from "../strings";
import { TimelinePainter } from "../timeline";
import { available, hole, live, loading, pixels, recording, replaying, trouble } from "../travel";
import { useDrag } from "./drag";
import { usePainting } from "./painting";
import { useRoom } from "./size";

export function Timeline() {
  const Travel = later.value?.Travel;
  return (
    <section class="panel timeline" data-testid="timeline">
      <div class="head">
        <div class="segments" role="group" aria-label={strings.LABELS.window}>
          {WINDOW_NAMES.map((name) => (
            <button type="button" aria-pressed={windowName.value === name} onClick={() => choose({ window: name })}>
              {strings.WINDOW_WORDS[name]}
            </button>
          ))}
        </div>
        {(paused.value || available.value) && Travel !== undefined && <Travel />}
        {elsewhere.value && (
          <button type="button" onClick={live}>
            {strings.LABELS[replaying.value ? "end" : "live"]}
          </button>
        )}
        <Told />
      </div>
      <Charts />
    </section>
  );
}

/** A mark is near the cursor (share of the window). */
const NEAR = 0.008;

/**
 * The numbers at the cursor, or else of the sample at which the page stands still. What is to be said of the moment
 * that the viewer asked for comes first, as long as the cursor is not elsewhere.
 */
function Told() {
  const words = moment();
  const at = cursorAt.value;
  const inHole = hole.value !== null && at !== null && at >= hole.value.from && at <= hole.value.to;
  const first = words !== "" && (at === null || inHole);
  return (
    <p class="told">
      <span class={first ? "moment" : "unseen"} role="status" data-testid="moment">
        {words}
      </span>
      {!first && <span data-testid="reading">{reading(at ?? frozenAt.value)}</span>}
    </p>
  );
}

function moment(): string {
  if (loading.value !== null) return strings.loading(loading.value);
  if (trouble.value !== null && available.value) return strings.troubled(trouble.value);
  return hole.value === null ? "" : strings.hole(hole.value);
}

function reading(at: number | null): string {
  const all = points.value;
  if (at === null) return rest();
  // Of several samples in one point it is this one that is shown.
  const stopped = cursorAt.value === null ? sample.value : null;
  const point = stopped === null ? all[nearest(all, at)] : pointOf(stopped, false);
  if (point === undefined) return rest();
  const near = NEAR * (span.value.to - span.value.from);
  const there = marks.value.filter((mark) => mark.at - near <= at && at <= (mark.ended ?? mark.at) + near);
  return [strings.reading(point), ...there.slice(-3).map(strings.mark)].join(" · ");
}

/** What the charts have, and why no more. */
function rest(): string {
  const why = strings.unrecorded(recording.value, trouble.value);
  const since = points.value[0]?.at;
  if (available.value) return `${strings.recordedSince(oldest.value)} ${why}`;
  return since === undefined ? why : `${strings.remembers(since)} ${why}`;
}

function Charts() {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useSignal<TimelinePainter | null>(null);
  const room = useRoom(host);
  useEffect(() => {
    if (canvas.current !== null) painter.value = new TimelinePainter(canvas.current);
  }, []);
  usePainting(() => {
    if (room.value === null) return;
    pixels.value = room.value.width;
    painter.value?.draw({
      ...room.value,
      points: points.value,
      marks: marks.value,
      span: span.value,
      cursorAt: cursorAt.value,
      frozenAt: frozenAt.value,
      scheme: scheme.value,
      lanes: strings.LANES,
    });
  });
  useDrag(canvas, (x) => painter.value?.timeAt(x) ?? null);
  return (
    <div ref={host} class="canvas">
      <canvas ref={canvas} role="img" aria-label={strings.chartSummary(points.value, marks.value)} />
    </div>
  );
}

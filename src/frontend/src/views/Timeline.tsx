import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { WINDOW_NAMES } from "../address";
import { nearest } from "../axis";
import {
  canStepBack,
  choose,
  cursorAt,
  elsewhere,
  follow,
  frozenAt,
  marks,
  paused,
  points,
  scheme,
  span,
  step,
  windowName,
} from "../state";
import * as strings from "../strings";
import { TimelinePainter } from "../timeline";
import { useDrag } from "./drag";
import { usePainting } from "./painting";
import { useRoom } from "./size";

export function Timeline() {
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
        {paused.value && <Steps />}
        {elsewhere.value && (
          <button type="button" onClick={follow}>
            {strings.LABELS.now}
          </button>
        )}
        <Reading />
      </div>
      <Charts />
    </section>
  );
}

function Steps() {
  return (
    <>
      <button type="button" aria-label={strings.LABELS.back} disabled={!canStepBack.value} onClick={() => step(-1)}>
        ←
      </button>
      <button type="button" aria-label={strings.LABELS.forth} onClick={() => step(1)}>
        →
      </button>
    </>
  );
}

/** The numbers at the cursor, or else of the sample at which the page stands still. */
function Reading() {
  const all = points.value;
  const at = cursorAt.value ?? frozenAt.value;
  const point = at === null ? undefined : all[nearest(all, at)];
  const words = point !== undefined ? strings.reading(point) : all[0] === undefined ? "" : strings.remembers(all[0].at);
  return (
    <p class="reading" data-testid="reading">
      {words}
    </p>
  );
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

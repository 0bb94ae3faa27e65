/** What single keys do. They can be switched off, as WCAG 2.1.4 asks: a voice or a cat may press them. */
import { GROUPS, WINDOW_NAMES } from "./address";
import { choices, choose, helping, paused, panBy, span, uncopied, zoomBy } from "./state";
import { jump, live, pausePlay, play, replaying, speed, step, togglePause } from "./travel";

const STORED = "mod-wsgi-dashboard.keys";
const PAN_SHARE = 0.25;
const ZOOM = 1.5;

export interface Doing {
  copy(): void;
  /** Puts the focus into the filter. */
  filter(): void;
}

export function enabled(): boolean {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    // Storage is forbidden here: nothing was switched off.
    return true;
  }
}

export function enable(on: boolean): void {
  try {
    localStorage.setItem(STORED, on ? "on" : "off");
  } catch {
    // It then holds for as long as nobody asks again; there is no place to keep it.
  }
}

/** Act on a key that no field or button wants; gives whether it did. */
export function act(event: KeyboardEvent, doing: Doing): boolean {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (event.key === "Escape") return escape();
  if (takesKeys(event.target) || !enabled()) return false;
  const pan = PAN_SHARE * (span.value.to - span.value.from);
  const actions: Record<string, () => void> = {
    "/": doing.filter,
    " ": togglePause,
    ArrowLeft: () => step(event.shiftKey ? -10 : -1),
    ArrowRight: () => step(event.shiftKey ? 10 : 1),
    "+": () => zoomBy(1 / ZOOM),
    "=": () => zoomBy(1 / ZOOM),
    "-": () => zoomBy(ZOOM),
    "[": () => panBy(-pan),
    "]": () => panBy(pan),
    ",": () => jump(-1),
    ".": () => jump(1),
    p: () => (speed.value === null ? play() : pausePlay()),
    m: () => choose({ panel: choices.value.panel === "grid" ? "map" : "grid" }),
    g: nextGroup,
    c: doing.copy,
    "?": () => (helping.value = true),
  };
  for (const [place, window] of WINDOW_NAMES.entries()) actions[place + 1] = () => choose({ window });
  const action = Object.hasOwn(actions, event.key) ? actions[event.key] : undefined;
  // A button has a use of its own for the space bar.
  if (action === undefined || (event.key === " " && event.target instanceof HTMLButtonElement)) return false;
  action();
  return true;
}

function takesKeys(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, select, textarea, summary, dialog") !== null;
}

function nextGroup(): void {
  const at = choices.value.group === null ? -1 : GROUPS.indexOf(choices.value.group);
  choose({ group: GROUPS[at + 1] ?? null });
}

/** One thing at a time, the uppermost first. An open dialog closes by itself. */
function escape(): boolean {
  if (helping.value || uncopied.value !== null) return false;
  if (choices.value.pinned !== null) choose({ pinned: null });
  else if (choices.value.filter !== "") choose({ filter: "" });
  else if (paused.value && !replaying.value) live();
  else return false;
  return true;
}

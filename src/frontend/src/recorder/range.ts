/** Stretches of time that a person chooses, in local time. Pure, but for the zone of the browser. */
import type { Span } from "../axis";

export const PRESETS = { window: null, quarter: 900, hour: 3600 } as const;
export type Preset = keyof typeof PRESETS;

/** How far the what-if looks back (seconds); null is all that is kept. */
export const BACK = { hour: 3600, quarter_day: 21_600, day: 86_400, week: 604_800, all: null } as const;
export type Back = keyof typeof BACK;

const two = (value: number): string => `${value}`.padStart(2, "0");

/** What a field of the type datetime-local shows for an instant (epoch seconds): whole seconds, local time. */
export function toField(at: number): string {
  const date = new Date(at * 1000);
  if (Number.isNaN(date.getTime())) return "";
  const day = [`${date.getFullYear()}`.padStart(4, "0"), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day}T${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** The instant (epoch seconds) that a field shows; null for a field that is not filled in. */
export function fromField(text: string): number | null {
  // With a date and a time and no zone, it is local time.
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text)) return null;
  const at = new Date(text).getTime() / 1000;
  return Number.isNaN(at) ? null : at;
}

/** Whole seconds around a span: fields show no parts of them. */
export const widened = ({ from, to }: Span): Span => ({ from: Math.floor(from), to: Math.ceil(to) });

/** A query of the API for this span. */
export function query({ from, to }: Span, more: Readonly<Record<string, string>> = {}): string {
  return new URLSearchParams({ from: `${from}`, to: `${to}`, ...more }).toString();
}

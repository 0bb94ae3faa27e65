/**
 * The kind of request that a request line is of: its method, and its path without what differs from one request to the
 * next. Lines come as Apache keeps them and the server shows them: masked as `***`, perhaps cut, perhaps hostile.
 */

/** Apache keeps so many characters of a line. */
const KEPT = 63;
/** A server of 6,400 workers may show so many new lines a tick: twice that, or each tick would clear it. Some 4 MB. */
const CACHE_SIZE = 16_384;

/** Method, path, query. A space behind the path is enough: " HT" may be all that was kept of the protocol. */
const LINE = /^([^ ]+) (?:[a-z][a-z\d+.-]*:\/\/[^ /?#]*|(?=\/))([^ ?#]*)([^ ]*)/i;
/** A segment with a digit or a mask; others have nothing to shorten. */
const SEGMENT = /[^/\d*]*[\d*][^/]*/g;
/** If there is a digit: a number, a hash, or a long token, as a UUID is. No dot, so that a file keeps its extension. */
const OPAQUE = /^(?:\d+|[\da-f]{8,}|[\w%+=~-]{20,})$/i;

const cache = new Map<string, string>();

/** "GET /report/17?q=*** HTTP/1.1" -> "GET /report/*". A line without a path is returned as it is. */
export function pattern(request: string): string {
  let known = cache.get(request);
  if (known === undefined) {
    if (cache.size >= CACHE_SIZE) cache.clear();
    known = generalise(request);
    cache.set(request, known);
  }
  return known;
}

/** The path with its query, without the host of an absolute URL; "" if the line has none. */
export function target(request: string): string {
  const line = LINE.exec(request);
  return line === null ? "" : `${line[2]}${line[3]}`;
}

function generalise(request: string): string {
  const line = LINE.exec(request);
  if (line === null) return request;
  const [{ length }, method, path = "", query] = line;
  const short = (path || "/").replace(SEGMENT, shorten);
  // A mask is shorter than what it hides, so that a line with one may be cut whatever its length.
  const cut = query === "" && length === request.length && (length >= KEPT || path.includes("***"));
  return `${method} ${cut ? short.replace(/[^/]*$/, "*") : short}`;
}

function shorten(segment: string): string {
  if (OPAQUE.test(segment)) return "*";
  const rest = segment.replace(/\d\d+/g, "*");
  return rest.includes("***") ? "*" : rest;
}

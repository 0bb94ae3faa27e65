/** What an answer says that is no sample. */

const MAX_CHARACTERS = 500;

/** The server's own words, if they are words: an HTML error page is not. */
export function refusal(response: Response, body: string): string {
  const type = response.headers.get("Content-Type") ?? "";
  let words = type.startsWith("text/plain") ? body : "";
  if (/^application\/(problem\+)?json/.test(type)) words = detail(body);
  return words.slice(0, MAX_CHARACTERS);
}

function detail(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null) {
      const problem = value as Readonly<Record<string, unknown>>;
      const words = [problem["detail"], problem["error"], problem["title"]].find((item) => typeof item === "string");
      if (typeof words === "string") return words;
    }
  } catch {
    // Not JSON after all: its text is still the best there is.
  }
  return body;
}

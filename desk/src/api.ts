import { unusedMs } from "./use.ts";

/** An answer came, which is a refusal. */
export class Refused extends Error {
  readonly status: number;
  /** Milliseconds until another try may succeed; undefined where none was named. */
  readonly retryMs: number | undefined;
  /** Whether the same request may succeed later, or once the person is signed in again, with the role for it. */
  readonly again: boolean;

  /** @param own whether the server itself said so, and not what stands before it. */
  constructor(status: number, detail: string, retryMs?: number, own = true) {
    super(detail);
    this.name = "Refused";
    this.status = status;
    this.retryMs = retryMs;
    this.again = !own || status >= 500 || [401, 403, 429].includes(status);
  }
}

/** No answer came: the network is away, or the server is. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super("the server cannot be reached", { cause });
    this.name = "Unreachable";
  }
}

let owner: string | undefined;

/** From now on this page asks as this person and nobody else, in whose place somebody may have signed in in another tab. */
export function speakFor(name: string | undefined): void {
  owner = name;
}

type Query = Record<string, string | number | undefined>;

/** @throws {Refused} @throws {Unreachable} */
export function get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
  const asked = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  const search = new URLSearchParams(asked.map(([name, value]) => [name, String(value)])).toString();
  return send<T>("GET", search ? `${path}?${search}` : path, { signal });
}

/**
 * @param as who asks, where it must be nobody else: somebody may have signed in in another tab.
 * @throws {Refused} @throws {Unreachable}
 */
export function post<T = void>(path: string, body: unknown, as?: string): Promise<T> {
  return send<T>("POST", path, { body, as });
}

/** @throws {Refused} @throws {Unreachable} */
export function remove(path: string): Promise<void> {
  return send("DELETE", path);
}

/** What to tell a person of anything that was thrown. */
export function wordsOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

interface Sent {
  body?: unknown;
  as?: string | undefined;
  signal?: AbortSignal | undefined;
}

async function send<T>(method: string, path: string, { body, as, signal }: Sent = {}): Promise<T> {
  // a connection may hang for ever, as after a laptop slept
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  signal?.addEventListener("abort", () => patience.abort());
  try {
    const who = as ?? (path === "session" ? undefined : owner);
    const answer = await fetch(`/desk/api/${path}`, {
      method,
      // the header is what no form of another site can send; what nobody is there to ask for keeps nobody signed in
      headers: {
        "x-maitred-desk": unusedMs() < UNUSED_MS ? "1" : "idle",
        ...(who !== undefined && { "x-maitred-as": encodeURIComponent(who) }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: patience.signal,
      // what outlives the page, such as the release of claims
      keepalive: method === "POST" && path.endsWith("/release"),
    });
    if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
    // asking who is signed in shows the sign-in, wherever this was
    if (answer.status === 401) dispatchEvent(new Event(SIGNED_OUT));
    throw await refusalOf(answer);
  } catch (thrown) {
    if (thrown instanceof Refused || signal?.aborted) throw thrown;
    throw new Unreachable(thrown);
  } finally {
    clearTimeout(timer);
  }
}

/** Event of the window: the server knows nobody by the cookie that came. */
export const SIGNED_OUT = "maitred-signed-out";

const UNUSED_MS = 60_000;
/** The server answers within seconds; what takes longer, as a replay of many photos, goes on without the page. */
const PATIENCE_MS = 60_000;

async function refusalOf(answer: Response): Promise<Refused> {
  const said = (await answer.json().catch(() => ({}))) as { detail?: string; title?: string };
  const retryS = Number(answer.headers.get("retry-after") ?? Number.NaN);
  const detail = said.detail ?? said.title ?? `the server answered ${answer.status}`;
  const own = answer.headers.get("content-type")?.startsWith(PROBLEM_TYPE) ?? false;
  return new Refused(answer.status, detail, Number.isFinite(retryS) ? retryS * 1_000 : undefined, own);
}

/** In which the server says why it refuses (RFC 9457), and no proxy does. */
const PROBLEM_TYPE = "application/problem+json";

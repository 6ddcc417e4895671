import { asError } from "../errors.ts";
import type { Closable } from "../lifecycle.ts";
import type { Attempt, Claim } from "./message.ts";

interface DelivererDeps {
  /** Claims at most `total` of what is due, and of one destination at most `each`, or its share, less what is `busy` of it. */
  claim(busy: Readonly<Record<string, number>>, each: number, total: number): Promise<Claim[]>;
  settle(claim: Claim, settled: Settled): Promise<void>;
  /** Tells a destination nothing more. */
  disable(destination: string, note: string): Promise<void>;
  /** One attempt; it ends well before the lease of its claim does. A throw counts as a failure. */
  tell(claim: Claim): Promise<Attempt>;
}

export interface Settled {
  /** pending: again in `waitMs`. */
  state: "delivered" | "pending" | "dead";
  /** Why it failed, or what is to be said of a delivery that came to nothing. */
  note: string | null;
  waitMs: number;
}

interface DelivererLimits {
  /** Attempts at once, of all destinations together. */
  total: number;
  /** Attempts at once of one destination, so that one that is slow leaves room for the others. */
  each: number;
  /** Attempts before a delivery is dead. */
  attempts: number;
  /** Wait after the first failure; it doubles each time. */
  backoffMs: number;
  /** How often to look for what has become due. */
  pollMs: number;
}

interface DelivererEvents {
  attempted(claim: Claim, settled: Settled, seconds: number): void;
  /** Postgres does not answer; nothing is lost, and it is tried again. */
  unwell(error: Error): void;
}

export interface Deliverer extends Closable {
  /** Looks for what is due, now; whoever knows that there is something calls it. */
  look(): void;
}

/**
 * Delivers what is due, many at once. It holds nothing that is not being told at this moment, so that a process that
 * dies loses nothing: its claims run out. `close` claims no more and waits for what is in hand.
 */
export function createDeliverer(
  deps: DelivererDeps,
  limits: DelivererLimits,
  events: DelivererEvents,
): Deliverer {
  const inHand = new Set<Promise<void>>();
  const busy: Record<string, number> = {};
  let closed = false;
  let again = false;
  let looking: Promise<void> | undefined;
  const timer = setInterval(look, limits.pollMs);

  function look(): void {
    again = true;
    looking ??= claimAll().finally(() => {
      looking = undefined;
      // somebody may have asked just when it had ended
      if (again && !closed) look();
    });
  }

  async function claimAll(): Promise<void> {
    try {
      while (again && !closed && inHand.size < limits.total) {
        again = false;
        for (const claim of await deps.claim(busy, limits.each, limits.total - inHand.size)) start(claim);
      }
    } catch (thrown) {
      events.unwell(asError(thrown));
    }
    again = false;
  }

  function start(claim: Claim): void {
    busy[claim.destination] = (busy[claim.destination] ?? 0) + 1;
    const done = deliver(claim).finally(() => {
      inHand.delete(done);
      busy[claim.destination]!--;
      if (busy[claim.destination] === 0) delete busy[claim.destination];
      look();
    });
    inHand.add(done);
  }

  async function deliver(claim: Claim): Promise<void> {
    const since = performance.now();
    const attempt = await deps
      .tell(claim)
      .catch((thrown): Attempt => ({ outcome: "failed", why: asError(thrown).message }));
    try {
      if (attempt.outcome === "refused") await deps.disable(claim.destination, attempt.why);
      const settled = settle(claim, attempt);
      await deps.settle(claim, settled);
      events.attempted(claim, settled, (performance.now() - since) / 1000);
    } catch (thrown) {
      // its claim runs out, and it is told once more
      events.unwell(asError(thrown));
    }
  }

  function settle({ attempt: number }: Claim, attempt: Attempt): Settled {
    if (attempt.outcome === "delivered") return { state: "delivered", note: attempt.note ?? null, waitMs: 0 };
    // lists show it in one line
    const note = attempt.why.replaceAll(/\s+/g, " ").slice(0, 500);
    // whoever enables the destination again goes on where it stopped
    if (attempt.outcome === "refused") return { state: "pending", note, waitMs: 0 };
    if (attempt.final || number >= limits.attempts) return { state: "dead", note, waitMs: 0 };
    // one that asks for seconds each time would else have used up within minutes the attempts that are to last for days
    const backoff = waitMs(number, limits.backoffMs, Math.random());
    return { state: "pending", note, waitMs: Math.max(backoff, attempt.retryAfterMs ?? 0) };
  }

  return {
    look,
    async close() {
      closed = true;
      clearInterval(timer);
      await looking;
      await Promise.all(inHand);
    },
  };
}

/**
 * How long to wait after an attempt that failed: it doubles from `baseMs` up to twelve hours, give or take a fifth, so
 * that what failed together does not come again together.
 *
 * @param attempt counted from 1.
 * @param random 0 to 1.
 */
export function waitMs(attempt: number, baseMs: number, random: number): number {
  return Math.min(baseMs * 2 ** Math.min(attempt - 1, 40), LONGEST_MS) * (0.8 + 0.4 * random);
}

const LONGEST_MS = 43_200_000;

import { RateLimiterMemory, type RateLimiterRes } from "rate-limiter-flexible";
import { HttpProblem } from "./problem.ts";
import { nameOf } from "./secrets.ts";

export interface LimitSettings {
  /** Requests of one token in a minute; 0: any number. */
  rateLimit: number;
  /** Wrong tokens from one address in a minute; 0: any number. */
  authLimit: number;
}

/** How often may be asked. Each process counts for itself, in memory. */
export interface Limits {
  /**
   * Before a token is looked up: whoever has sent many wrong ones is not looked up any more, so that nobody guesses,
   * and the database is not asked without end. A token that was good before is looked up whatever its neighbours do.
   *
   * @throws {HttpProblem} 429
   */
  checkAttempt(address: string, token: string): Promise<void>;
  recordFailure(address: string, token: string): Promise<void>;
  /** @throws {HttpProblem} 429 where this token asks too often. */
  consumeToken(id: string, token: string): Promise<void>;
  /**
   * Of a caller that has no token and proves itself in another way: as many requests as of one token, by address.
   *
   * @throws {HttpProblem} 429
   */
  consumeAddress(address: string): Promise<void>;
}

export function createLimits({ rateLimit, authLimit }: LimitSettings): Limits {
  const uses = new RateLimiterMemory({ points: rateLimit, duration: WINDOW_S });
  const failures = new RateLimiterMemory({ points: authLimit, duration: WINDOW_S });
  // of all addresses together: an attacker may have many, and each takes memory
  const allFailures = new RateLimiterMemory({ points: authLimit * ADDRESSES, duration: WINDOW_S });
  const wereGood = new Set<string>();
  const use = async (key: string, who: string): Promise<void> => {
    if (rateLimit === 0) return;
    await uses.consume(key).catch((spent: RateLimiterRes) => {
      throw tooMany(`${who} may ask ${rateLimit} times a minute`, spent, "rate");
    });
  };
  return {
    async checkAttempt(address, token) {
      if (wereGood.has(nameOf(token))) return;
      const own = await failures.get(networkOf(address));
      const all = await allFailures.get("");
      if (own && own.remainingPoints <= 0)
        throw tooMany("too many wrong tokens came from this address", own, "guessing");
      if (all && all.remainingPoints <= 0)
        throw tooMany("too many wrong tokens came from all addresses together", all, "guessing");
    },
    async recordFailure(address, token) {
      wereGood.delete(nameOf(token));
      if (authLimit === 0) return;
      const { consumedPoints } = await failures.penalty(networkOf(address));
      // many may be looked up at once before the first of them counts: one address is not to spend the limit of all
      if (consumedPoints <= authLimit) await allFailures.penalty("");
    },
    async consumeToken(id, token) {
      remember(wereGood, nameOf(token));
      await use(id, `the token ${id}`);
    },
    consumeAddress: (address) => use(networkOf(address), "this address"),
  };
}

/** The part of an address that one caller cannot change at will: all of IPv4, and the network of IPv6. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  // an IPv4 address in the clothes of the other
  if (address.includes(".")) return address.slice(address.lastIndexOf(":") + 1);
  const [head = "", tail = ""] = address.split("::");
  const [left, right] = [head, tail].map((part) => part.split(":").filter(Boolean));
  const zeros = Array<string>(Math.max(0, 8 - left!.length - right!.length)).fill("0");
  return [...left!, ...zeros, ...right!].slice(0, 4).join(":");
}

function tooMany(detail: string, { msBeforeNext }: RateLimiterRes, reason: string): HttpProblem {
  const seconds = Math.max(1, Math.ceil(msBeforeNext / 1_000));
  return new HttpProblem(429, detail, { "retry-after": String(seconds) }, reason);
}

/** Keeps the newest 1,000. */
export function remember(known: Set<string>, one: string): void {
  known.add(one);
  const [oldest] = known;
  if (known.size > REMEMBERED && oldest !== undefined) known.delete(oldest);
}

const WINDOW_S = 60;
const ADDRESSES = 100;
const REMEMBERED = 1_000;

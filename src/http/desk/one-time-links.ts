import { isIP } from "node:net";
import { createSecret, nameOf } from "../secrets.ts";
import type { Identity } from "./access.ts";

/** Links that sign somebody in once, on the machine that the process runs on; they live in its memory alone. */
interface OneTimeLinks {
  /** The code of a new link; it holds for an hour. */
  create(who: Identity): string;
  /** Whom it is for, and it is used up; undefined for any other, and for one who asks from elsewhere. */
  redeem(code: string, address: string): Identity | undefined;
}

export function createOneTimeLinks(): OneTimeLinks {
  const waiting = new Map<string, { who: Identity; until: number }>();
  return {
    create(who) {
      const { secret: code } = createSecret();
      waiting.set(nameOf(code), { who, until: Date.now() + HOUR_MS });
      return code;
    },
    redeem(code, address) {
      const name = nameOf(code);
      const link = waiting.get(name);
      if (!link || !isLoopback(address)) return undefined;
      waiting.delete(name);
      return Date.now() < link.until ? link.who : undefined;
    },
  };
}

function isLoopback(address: string): boolean {
  const bare = address.replace(/^::ffff:/, "");
  return isIP(bare) === 4 ? bare.startsWith("127.") : bare === "::1";
}

const HOUR_MS = 3_600_000;

import { expect } from "vitest";
import { Scope } from "../src/lifecycle.ts";
import { createLog } from "../src/log.ts";
import { startDeliver } from "../workers/deliver.ts";
import { test as base, type Database, rows } from "./fixtures.ts";
import { type Ended, ended } from "./maitred.ts";
import { type Receiver, startReceiver } from "./receiver.ts";

interface Hook {
  id: string;
  secret: string;
}

export const ALLOW = { MAITRED_WEBHOOK_ALLOW: "127.0.0.0/8,::1/128" };

export const test = base.extend<{
  receiver: Receiver;
  cli(args: string[], env?: Record<string, string>): Promise<Ended>;
  /** Adds a webhook to this address. */
  hook(url: string): Promise<Hook>;
  /** Starts delivering in this process; failures are tried again after a tenth of a second. */
  start(env?: Record<string, string>): Promise<void>;
}>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures from the pattern
  receiver: async ({}, use) => {
    const receiver = await startReceiver();
    await use(receiver);
    await receiver.close();
  },
  cli: async ({ db }, use) => {
    await use((args, env = {}) => ended(args, { DATABASE_URL: db.url, ...ALLOW, ...env }));
  },
  hook: async ({ cli }, use) => {
    await use(async (url) => {
      const made = await cli(["destination", "add", "webhook", url, "--json"]);
      expect(made.err).toBe("");
      return JSON.parse(made.out);
    });
  },
  start: async ({ configFor }, use) => {
    const scopes: Scope[] = [];
    await use(async (env = {}) => {
      const scope = new Scope();
      scopes.push(scope);
      await startDeliver(
        configFor("postgres", { MAITRED_DELIVER_BACKOFF_MS: "100", ...ALLOW, ...env }),
        createLog("silent"),
        scope,
      );
    });
    await Promise.all(scopes.map((scope) => scope.close()));
  },
});

export const states = (db: Database) =>
  rows(db, "select destination, state, attempts, last_error from deliveries order by seq, destination");

export const allAre = (db: Database, state: string) => async (): Promise<boolean> =>
  (await rows(db, "select from deliveries where state <> $1", state)).length === 0;

import { setTimeout as sleep } from "node:timers/promises";
import { countPending, listDestinations, photoWriters, tellPage } from "../store/destinations.ts";
import type { Pool } from "../store/pool.ts";
import { EXIT, type Terminal, UsageError } from "./command.ts";
import { timeOption } from "./options.ts";
import { printResult } from "./output.ts";
import { counted } from "./plural.ts";
import { noneOf } from "./subcommand.ts";
import { sayStatus, wipeStatus } from "./terminal.ts";

/**
 * maitred destination catch-up: tells one destination of photos as they are now, in the order of their ids, and waits while
 * much waits to be delivered. What was told stays told when it is ended. Run at once after the destination was added or
 * enabled it leaves nothing out: what was being changed at that moment is waited for.
 */
export function catchUp(
  id: string,
  values: { since?: string; after?: string; json: boolean },
  terminal: Terminal,
): (db: Pool) => Promise<number> {
  const since = timeOption(values, "since") ?? EVER;
  const from = values.after ?? "0";
  if (!/^\d{1,18}$/.test(from)) {
    throw new UsageError(`--after: expected the id of a photo, got ${JSON.stringify(from)}`);
  }
  return async (db) => {
    if (!(await listDestinations(db)).some((each) => each.id === id))
      return noneOf(terminal, "destination", id);
    let told = 0;
    let after = from;
    let said = performance.now();
    const where = (): string => `${counted(told, "photo")} told of; --after ${after} goes on from here`;
    const report = (what: string): void => {
      if (performance.now() - said <= (terminal.columns > 0 ? DRAW_MS : SAY_MS)) return;
      said = performance.now();
      sayStatus(terminal, what);
    };
    await writersEnded(db, terminal);
    try {
      for (;;) {
        const page = await tellPage(db, id, since, after, PAGE);
        told += page.told;
        if (page.lastId === undefined) break;
        after = page.lastId;
        report(where());
        while ((await countPending(db, id, PENDING)) >= PENDING) {
          report(`${where()}; waits for maitred deliver, which has ${PENDING} deliveries to make`);
          await sleep(WAIT_MS);
          // no photo: it throws once the destination is disabled or removed, as nothing is delivered to it then
          await tellPage(db, id, since, after, 0);
        }
      }
    } catch (error) {
      wipeStatus(terminal);
      if (after !== from) terminal.say(`${where()}\n`);
      throw error;
    }
    wipeStatus(terminal);
    printResult(terminal, values.json, { id, told }, `${id} is told of ${counted(told, "photo")}`);
    return EXIT.done;
  };
}

/** Waits for those who change photos now: they may have begun before the destination was there, and then only we tell it. */
async function writersEnded(db: Pool, terminal: Terminal): Promise<void> {
  const before = new Set(await photoWriters(db));
  const since = performance.now();
  for (let told = false; ; ) {
    const open = (await photoWriters(db)).filter((writer) => before.has(writer));
    if (open.length === 0) return;
    if (!told && performance.now() - since > PATIENCE_MS) {
      terminal.say(`waits for the end of ${open.length} transactions that change photos\n`);
      told = true;
    }
    await sleep(LOOK_MS);
  }
}

/** Whatever was decided or withdrawn was so since then: a receiver may still show what was withdrawn long ago. */
const EVER = new Date(0);
/** Photos that are looked at in one transaction, which holds up whoever changes them. */
const PAGE = 1_000;
/** Deliveries that wait, at which no more are added. */
const PENDING = 10_000;
const WAIT_MS = 500;
const LOOK_MS = 50;
const PATIENCE_MS = 1_000;
const DRAW_MS = 200;
const SAY_MS = 10_000;

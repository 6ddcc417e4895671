import type { FastifyInstance, FastifyReply } from "fastify";
import { asError } from "../../errors.ts";
import { HttpProblem } from "../problem.ts";
import type { Access } from "./access.ts";
import type { DeskDeps } from "./deps.ts";
import { operating } from "./operate-routes.ts";

/**
 * Tells pages what changed, as server-sent events: `queue`, how many photos wait, at once and whenever it changed; to those
 * that asked with `?with=operate` also `operate`, how everything runs, at each look; `beat` every few looks, so that a page
 * knows a connection that died; and `end` once the session ended. All pages of a process share one look at the database.
 *
 * @param lookMs between two looks.
 */
export function serveLive(
  app: FastifyInstance,
  access: Access,
  deps: Pick<DeskDeps, "counts" | "operate"> & {
    access: Pick<DeskDeps["access"], "findSession">;
    /** A look failed, and the one before did not; it goes on. */
    failed(error: Error): void;
  },
  lookMs = 2_000,
): void {
  const pages = new Map<FastifyReply, { session: string; name: string; operate: boolean }>();
  let latest = "";
  let timer: NodeJS.Timeout | undefined;
  let beats = 0;
  let failing = false;

  const forget = (reply: FastifyReply): void => {
    pages.delete(reply);
    if (pages.size === 0) clearTimeout(timer);
  };
  const write = (reply: FastifyReply, text: string): void => {
    // a page that does not read is no reason to keep what it does not read
    if (reply.raw.writableLength > MAX_UNREAD_BYTES) reply.raw.destroy();
    if (reply.raw.destroyed) forget(reply);
    else reply.raw.write(text);
  };

  async function look(): Promise<void> {
    try {
      const counts = JSON.stringify(await deps.counts());
      for (const reply of pages.keys()) if (counts !== latest) write(reply, eventOf("queue", counts));
      latest = counts;
      await tellOperators();
      if (++beats % BEATS === 0) await check();
      failing = false;
    } catch (thrown) {
      // most likely the database is away: the next look tells
      if (!failing) deps.failed(asError(thrown));
      failing = true;
    }
    // a page that came while this looked has begun anew: one loop goes on
    clearTimeout(timer);
    if (pages.size > 0) timer = setTimeout(() => void look(), lookMs);
  }

  async function tellOperators(): Promise<void> {
    const watching = (): FastifyReply[] =>
      [...pages].flatMap(([reply, { operate }]) => (operate ? reply : []));
    if (watching().length === 0) return;
    const now = eventOf("operate", JSON.stringify(await operating(deps)));
    for (const reply of watching()) write(reply, now);
  }

  async function check(): Promise<void> {
    for (const [reply, { session }] of [...pages]) {
      // to be open is no use: what a person does asks for something else
      if (await deps.access.findSession(session, undefined)) write(reply, eventOf("beat", "{}"));
      else {
        reply.raw.end(eventOf("end", "{}"));
        forget(reply);
      }
    }
  }

  app.get("/desk/api/live", { exposeHeadRoute: false }, async (request, reply) => {
    const session = await access.require(request, "any");
    const operate = (request.query as { with?: unknown }).with === "operate";
    const counts = JSON.stringify(await deps.counts());
    const now = operate ? eventOf("operate", JSON.stringify(await operating(deps))) : "";
    // nothing is waited for any more, so that those who ask at once do not pass together
    if (pages.size >= MAX_PAGES) throw new HttpProblem(503, "too many pages are open", LATER);
    if ([...pages.values()].filter(({ name }) => name === session.name).length >= MAX_OWN_PAGES)
      throw new HttpProblem(429, `${MAX_OWN_PAGES} pages of yours are open already: close one`, LATER);
    reply.hijack();
    // whoever left meanwhile closes nothing any more, and would be kept for ever
    if (reply.raw.destroyed) return;
    reply.raw.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      "content-type": "text/event-stream",
      // a proxy that compresses would hold back what is told
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
    reply.raw.write(eventOf("queue", counts) + now);
    pages.set(reply, { session: session.id, name: session.name, operate });
    reply.raw.once("close", () => forget(reply));
    if (pages.size === 1) {
      latest = counts;
      timer = setTimeout(() => void look(), lookMs);
    }
  });

  app.addHook("preClose", async () => {
    clearTimeout(timer);
    for (const reply of pages.keys()) reply.raw.end();
  });
}

function eventOf(name: string, data: string): string {
  return `event: ${name}\ndata: ${data}\n\n`;
}

const MAX_PAGES = 500;
/** Of one person. A tab that nobody sees has none. */
const MAX_OWN_PAGES = 20;
const LATER = { "retry-after": "30" };
const MAX_UNREAD_BYTES = 64_000;
/** Looks between two checks of who is still signed in. */
const BEATS = 3;

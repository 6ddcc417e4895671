import { z } from "zod";
import { ConfigError } from "../../errors.ts";
import { readShape } from "../../intake/shape.ts";
import { HttpProblem } from "../problem.ts";
import type { DeskDeps } from "./deps.ts";
import type { Settled } from "./operate-deps.ts";
import * as shapes from "./operate-schemas.ts";
import type { DeskRoute } from "./route.ts";

/** How everything runs, as the page shows it; also what `operate` of /desk/api/live tells. */
export async function operating({
  operate,
}: Pick<DeskDeps, "operate">): Promise<z.infer<typeof shapes.operating>> {
  const now = await operate.now();
  const workers = now.workers.map((worker) => {
    const { success, data } = shapes.figures.safeParse(worker.figures);
    return { ...worker, figures: success ? data : null };
  });
  return { ...now, workers };
}

/** Who signed in may look; who operates may act. */
export const operateRoutes: readonly DeskRoute[] = [
  {
    method: "GET",
    url: "/desk/api/operate",
    role: "any",
    answer: shapes.operating,
    handle: async (deps) => ({ status: 200, body: await operating(deps) }),
  },
  {
    method: "POST",
    url: "/desk/api/operate/failures/replay",
    role: "operator",
    answer: shapes.failuresReplayed,
    async handle({ operate }, { session, body }) {
      const { code, after } = readShape(shapes.replayFailures, body, "expected a code");
      return { status: 200, body: await operate.replayFailures(code, after, session.name) };
    },
  },
  {
    method: "GET",
    url: "/desk/api/operate/deliveries",
    role: "any",
    answer: shapes.deadDeliveries,
    handle: async ({ operate }) => ({ status: 200, body: { deliveries: await operate.deadDeliveries() } }),
  },
  {
    method: "POST",
    url: "/desk/api/operate/deliveries/replay",
    role: "operator",
    answer: shapes.replayed,
    async handle({ operate }, { session, body }) {
      const which = readShape(shapes.replayDeliveries, body, "expected a destination");
      return { status: 200, body: { replayed: await operate.replayDeliveries(which, session.name) } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/operate/messages",
    role: "any",
    answer: shapes.badMessages,
    handle: async ({ operate }) => ({ status: 200, body: { messages: await operate.badMessages() } }),
  },
  {
    method: "GET",
    url: "/desk/api/operate/messages/:id",
    // it is what somebody sent, as it came
    role: "operator",
    answer: shapes.badMessage,
    async handle({ operate }, { params }) {
      const { id } = readShape(shapes.badMessageAsked, params, "expected the id of a message");
      const body = await operate.badMessage(id);
      if (body === undefined) throw noMessage(id);
      return { status: 200, body: { id, body: body.slice(0, MAX_SHOWN) } };
    },
  },
  settling("replay", (operate, id, by) => operate.replayBadMessage(id, by)),
  settling("discard", (operate, id, by) => operate.discardBadMessage(id, by)),
  {
    method: "POST",
    url: "/desk/api/operate/lanes/:lane/state",
    role: "operator",
    answer: z.undefined(),
    async handle({ operate }, { session, params, body }) {
      const { lane } = readShape(shapes.laneAsked, params, "expected a lane");
      const { state, why } = readShape(shapes.changeLane, body, "expected a state, and why");
      if (await operate.changeLane(lane, state, session.name, why)) return { status: 204, body: undefined };
      throw new HttpProblem(409, `the lane ${lane} is ${state} already`);
    },
  },
  {
    method: "POST",
    url: "/desk/api/operate/backfills/:id/state",
    role: "operator",
    answer: z.undefined(),
    async handle({ operate }, { session, params, body }) {
      const { id } = readShape(shapes.backfillAsked, params, "expected the id of a backfill");
      const { state, why } = readShape(shapes.changeBackfill, body, "expected a state, and why");
      await orRefuse(operate.changeBackfill(id, state, session.name, why));
      return { status: 204, body: undefined };
    },
  },
  {
    method: "POST",
    url: "/desk/api/operate/backfills/:id/retry",
    role: "operator",
    answer: shapes.retried,
    async handle({ operate }, { session, params, body }) {
      const { id } = readShape(shapes.backfillAsked, params, "expected the id of a backfill");
      const { code } = readShape(shapes.retryBackfill, body ?? {}, "expected a code or nothing");
      return {
        status: 200,
        body: { photos: await orRefuse(operate.retryBackfill(id, code, session.name)) },
      };
    },
  },
];

function settling(
  what: "replay" | "discard",
  settle: (operate: DeskDeps["operate"], id: string, by: string) => Promise<Settled | undefined>,
): DeskRoute {
  return {
    method: "POST",
    url: `/desk/api/operate/messages/:id/${what}`,
    role: "operator",
    answer: shapes.settled,
    async handle({ operate }, { session, params }) {
      const { id } = readShape(shapes.badMessageAsked, params, "expected the id of a message");
      const settled = await settle(operate, id, session.name);
      if (!settled) throw noMessage(id);
      const { state, photos = [], code = null, detail = null } = settled;
      return { status: 200, body: { state, photos, code, detail } };
    },
  };
}

function noMessage(id: string): HttpProblem {
  return new HttpProblem(404, `there is no message ${id}, or it was forgotten since`);
}

/** What a backfill's state does not allow is a conflict, not a request that was not understood. */
async function orRefuse<T>(work: Promise<T>): Promise<T> {
  return work.catch((thrown: unknown) => {
    if (thrown instanceof ConfigError) throw new HttpProblem(409, thrown.message);
    throw thrown;
  });
}

const MAX_SHOWN = 20_000;

import { z } from "zod";
import { readShape } from "../../intake/shape.ts";
import { KINDS, type Kind, partsOf } from "../../review/kinds.ts";
import { HttpProblem } from "../problem.ts";
import type { Session } from "./access.ts";
import type { DeskDeps, DeskPhoto } from "./deps.ts";
import { linksOf } from "./links.ts";
import * as shapes from "./review-schemas.ts";
import type { DeskRoute } from "./route.ts";

export const reviewRoutes: readonly DeskRoute[] = [
  {
    method: "GET",
    url: "/desk/api/review/queue",
    role: "any",
    answer: shapes.queue,
    handle: async (deps) => ({ status: 200, body: await deps.counts() }),
  },
  {
    method: "POST",
    url: "/desk/api/review/claims",
    role: "moderator",
    answer: shapes.claims,
    async handle(deps, { session, body }) {
      const {
        kinds = KINDS,
        limit,
        ...pages
      } = readShape(shapes.claimAsked, body ?? {}, "expected kinds and a limit");
      const until = untilOf(deps);
      const claims = await deps.claim({ moderator: session.name, ...pages }, partsOf(kinds, limit), limit);
      const kindOf = new Map(claims.map(({ photo, kind }) => [photo, kind]));
      const photos = await deps.photos(claims.map(({ photo }) => photo));
      return {
        status: 200,
        body: {
          photos: photos.map((photo) => shown(photo, session, kindOf.get(photo.id) ?? null)),
          until,
        },
      };
    },
  },
  {
    method: "POST",
    url: "/desk/api/review/claims/renew",
    role: "moderator",
    answer: shapes.renewed,
    async handle(deps, { session, body }) {
      const { photos, page } = readShape(shapes.held, body, "expected photos");
      const until = untilOf(deps);
      const held = await deps.renew({ moderator: session.name, page }, photos);
      return { status: 200, body: { photos: held, until } };
    },
  },
  {
    method: "POST",
    url: "/desk/api/review/claims/release",
    role: "moderator",
    answer: z.undefined(),
    async handle(deps, { session, body }) {
      const { photos, page } = readShape(shapes.held, body, "expected photos");
      await deps.release({ moderator: session.name, page }, photos);
      return { status: 204, body: undefined };
    },
  },
  {
    method: "POST",
    url: "/desk/api/review/decisions",
    role: "moderator",
    maxBytes: 1_000_000,
    answer: shapes.allDecided,
    async handle(deps, { session, body }) {
      const { decisions } = readShape(shapes.decisions, body, "expected decisions");
      for (const { category } of decisions) refuseUnknown(category, deps);
      return { status: 200, body: { decisions: await deps.decide(session.name, decisions) } };
    },
  },
  {
    method: "POST",
    url: "/desk/api/review/undo",
    role: "moderator",
    answer: shapes.undone,
    async handle(deps, { session, body }) {
      const { decision, page } = readShape(shapes.undo, body, "expected a decision");
      const { outcome, photo, kind } = await deps.undo({ moderator: session.name, page }, decision);
      const [found] = photo === null ? [] : await deps.photos([photo]);
      return { status: 200, body: { outcome, photo: found ? shown(found, session, kind) : null } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/review/throughput",
    role: "moderator",
    answer: shapes.throughput,
    async handle(deps, { session, query }) {
      const { since } = readShape(shapes.throughputAsked, query, "expected a time");
      const from = since === undefined ? new Date(Date.now() - DAY_MS) : new Date(since);
      return { status: 200, body: await deps.throughput(session.name, from) };
    },
  },
];

/** A photo as this session may see it: its links are good for nobody else. */
export function shown<Photo extends DeskPhoto>(photo: Photo, session: Session, kind: string | null) {
  return { ...photo, kind: kind as Kind | null, links: linksOf(session.secret, photo, new Date()) };
}

/** Told before the claim is made, so that nobody counts on a second too many. */
function untilOf({ leaseS }: DeskDeps): string {
  return new Date(Date.now() + leaseS * 1_000).toISOString();
}

function refuseUnknown(category: string | null, { categories }: DeskDeps): void {
  if (category === null || categories.includes(category)) return;
  const known = categories.join(", ");
  throw new HttpProblem(400, `category: expected one of ${known}, got ${JSON.stringify(category)}`);
}

const DAY_MS = 86_400_000;

import { z } from "zod";
import { codeOf } from "../../errors.ts";
import { readShape } from "../../intake/shape.ts";
import { HttpProblem } from "../problem.ts";
import { shown } from "./review-routes.ts";
import { appeal, appealed } from "./review-schemas.ts";
import type { DeskRoute } from "./route.ts";
import * as shapes from "./schemas.ts";

export const photoRoutes: readonly DeskRoute[] = [
  {
    method: "GET",
    url: "/desk/api/photos",
    role: "any",
    answer: shapes.found,
    async handle(deps, { session, query }) {
      const search = readShape(shapes.searchAsked, query, "expected what to search for");
      const { ids, ...rest } = await deps.search(search);
      const photos = await deps.photos(ids);
      return { status: 200, body: { photos: photos.map((photo) => shown(photo, session, null)), ...rest } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/photos/:id",
    role: "any",
    answer: shapes.wholePhoto,
    async handle(deps, { session, params }) {
      const id = idOf(params);
      return { status: 200, body: shown(known(await deps.wholePhoto(id), id), session, null) };
    },
  },
  {
    method: "POST",
    url: "/desk/api/photos/:id/appeal",
    role: "moderator",
    answer: appeal,
    async handle(deps, { session, params, body }) {
      const id = idOf(params);
      const { reason } = readShape(appealed, body, "expected a reason");
      const { at } = known(await deps.appeal(id, reason, session.name), id);
      return { status: 200, body: { photo: id, open: true, at } };
    },
  },
  {
    method: "POST",
    url: "/desk/api/photos/:id/rerun",
    role: "operator",
    answer: z.object({}),
    async handle(deps, { session, params }) {
      const id = idOf(params);
      const outcome = await deps.rerun(id, session.name);
      if (outcome === "queued") return { status: 202, body: {} };
      if (outcome === "gone") throw new HttpProblem(404, `there is no current photo ${id}`);
      throw new HttpProblem(409, "a moderator decided it, which no model overwrites");
    },
  },
  {
    method: "POST",
    url: "/desk/api/photos/:id/forget",
    role: "operator",
    answer: z.object({ counts: z.record(z.string(), z.int()) }),
    async handle(deps, { session, params }) {
      const id = idOf(params);
      const counts = await deps.forget(id, session.name).catch((thrown: unknown) => {
        if (codeOf(thrown) !== "DATABASE_FORBIDDEN") throw thrown;
        throw new HttpProblem(403, "the API may not forget: maitred forget does, for an owner of the tables");
      });
      return { status: 200, body: { counts: known(counts, id) } };
    },
  },
];

function idOf(params: unknown): string {
  return readShape(shapes.photoAsked, params, "expected an id").id;
}

function known<T>(found: T | undefined, id: string): T {
  if (found === undefined) throw new HttpProblem(404, `there is no photo ${id}`);
  return found;
}

import { z } from "zod";
import { readShape } from "../../intake/shape.ts";
import { HttpProblem } from "../problem.ts";
import * as shapes from "./log-schemas.ts";
import type { DeskRoute } from "./route.ts";

export const logRoutes: readonly DeskRoute[] = [
  {
    method: "GET",
    url: "/desk/api/audit",
    role: "operator",
    answer: shapes.auditLog,
    async handle(deps, { query }) {
      const { before, limit } = readShape(shapes.auditAsked, query, "expected before and a limit");
      const entries = await deps.log(before, limit);
      return { status: 200, body: { entries, next: entries.length === limit ? entries.at(-1)!.id : null } };
    },
  },
  {
    method: "GET",
    url: "/desk/api/sessions",
    role: "operator",
    answer: shapes.sessions,
    async handle(deps, { session }) {
      const sessions = (await deps.sessions()).map(
        ({ id, name, roles, subject, startedAt, seenAt, endsAt }) => {
          return { id, name, roles, by: subject, startedAt, seenAt, endsAt, own: id === session.id };
        },
      );
      return { status: 200, body: { sessions } };
    },
  },
  {
    method: "DELETE",
    url: "/desk/api/sessions/:id",
    role: "operator",
    answer: z.undefined(),
    async handle(deps, { session, params }) {
      const { id } = readShape(shapes.sessionAsked, params, "expected the id of a session");
      const ended = await deps.access.endSession(id, session.name, "revoked");
      if (!ended) throw new HttpProblem(404, `there is no session ${id}, or it has ended`);
      return { status: 204, body: undefined };
    },
  },
];

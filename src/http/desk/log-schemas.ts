import { z } from "zod";
import { role, time } from "./schemas.ts";

/** The shapes of who is signed in, and who did what. */

export const auditAsked = z.object({
  before: z
    .string()
    .regex(/^\d{1,18}$/)
    .optional()
    .describe("the next of the page before"),
  limit: z.coerce.number().int().min(1).max(500).default(100),
});
export const auditLog = z.object({
  entries: z.array(
    z.object({
      id: z.string(),
      at: time,
      who: z.string().describe("a name, or token:ID"),
      token: z.string().nullable().describe("name of that token"),
      did: z.string().describe("such as signed-in, decided, passed, undone, appealed, revoked"),
      photo: z.string().nullable(),
      about: z.record(z.string(), z.unknown()),
    }),
  ),
  next: z.string().nullable(),
});
export const sessions = z.object({
  sessions: z.array(
    z.object({
      id: z.string().describe("no secret"),
      name: z.string(),
      roles: z.array(role),
      by: z.string().describe("token:ID, oidc:ISSUER#SUBJECT or link:NAME"),
      startedAt: time,
      seenAt: time,
      endsAt: time,
      own: z.boolean(),
    }),
  ),
});
export const sessionAsked = z.object({
  id: z.string().regex(/^[0-9a-f]{12}$/, "expected the id of a session"),
});

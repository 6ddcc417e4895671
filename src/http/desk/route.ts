import type { z } from "zod";
import type { Answer } from "../route.ts";
import type { Session } from "./access.ts";
import type { DeskDeps } from "./deps.ts";
import type { Role } from "./schemas.ts";

interface DeskAsked {
  session: Session;
  body: unknown;
  query: unknown;
  params: unknown;
}

/** One route of those who are signed in; it is served as JSON. */
export interface DeskRoute {
  method: "GET" | "POST" | "DELETE";
  url: string;
  /** Who may; "any" is everybody who is signed in. */
  role: Role | "any";
  /** Largest body, in bytes; 10,000 unless given. */
  maxBytes?: number;
  /** Of what it answers where all is well. */
  answer: z.ZodType;
  handle(deps: DeskDeps, asked: DeskAsked): Promise<Pick<Answer, "status" | "body">>;
}

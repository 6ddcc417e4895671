/** What the server's schemas say, as types: one contract, checked on both sides. */
import type { z } from "zod";
import type * as schemas from "../../src/http/desk/schemas.ts";

export type Session = z.infer<typeof schemas.session>;
export type NoSession = z.infer<typeof schemas.noSession>;
export type Role = z.infer<typeof schemas.role>;
export type Kind = z.infer<typeof schemas.kind>;
export type Photo = z.infer<typeof schemas.photo>;
export type WholePhoto = z.infer<typeof schemas.wholePhoto>;
export type Claims = z.infer<typeof schemas.claims>;
export type Renewed = z.infer<typeof schemas.renewed>;
export type Decision = z.infer<typeof schemas.decision>;
export type Decided = z.infer<typeof schemas.decided>;
export type AllDecided = z.infer<typeof schemas.allDecided>;
export type Undone = z.infer<typeof schemas.undone>;
export type Queue = z.infer<typeof schemas.queue>;
export type Throughput = z.infer<typeof schemas.throughput>;
export type SearchAsked = z.input<typeof schemas.searchAsked>;
export type Found = z.infer<typeof schemas.found>;
export type AuditLog = z.infer<typeof schemas.auditLog>;
export type Sessions = z.infer<typeof schemas.sessions>;

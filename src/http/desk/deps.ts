import type { z } from "zod";
import type { Part } from "../../review/kinds.ts";
import type { AccessDeps, AccessSettings, StoredSession } from "./access.ts";
import type { Board } from "./board.ts";
import type { DashboardDeps } from "./dashboard-deps.ts";
import type { SIDES } from "./links.ts";
import type { auditLog } from "./log-schemas.ts";
import type { Oidc } from "./oidc.ts";
import type { OperateDeps } from "./operate-deps.ts";
import type { decided, decision, throughput } from "./review-schemas.ts";
import type { heat, photo, searchAsked, wholePhoto } from "./schemas.ts";

export interface DeskSettings extends AccessSettings {
  /** Seconds without a request after which a session ends. */
  deskIdleS: number;
  /** Whether photos hidden for a human are blurred until asked for. */
  deskBlur: "on" | "off";
  /** Where the built page lies. */
  deskFolder: string;
}

/** A photo without its links, which are of a session. */
export type DeskPhoto = Omit<z.infer<typeof photo>, "links" | "kind">;
export type DeskWholePhoto = Omit<z.infer<typeof wholePhoto>, "links" | "kind">;
export type Decision = z.infer<typeof decision>;
export type Decided = z.infer<typeof decided>;
/** What photos are looked for; whatever is left out is not asked. */
export type Search = z.infer<typeof searchAsked>;
export type AuditEntry = z.infer<typeof auditLog>["entries"][number];
export type Throughput = z.infer<typeof throughput>;
export type QueueCounts = { kinds: Record<string, number>; held: number; moderators: number };

/** Ids, newest first; fewer than the limit, or none, where many were looked at. */
export interface Found {
  ids: string[];
  /** What `after` is of the next page; null where this one is the last. */
  next: string | null;
  /** It is the last, and yet not all keys that begin so were looked at. */
  capped: boolean;
}

/** A page of a moderator, who may have several, in each of which they see other photos. */
export interface Holder {
  moderator: string;
  /** A name that the page made up. */
  page: string;
}

/** What became of a decision that is taken back; kind: as what its photo is held again. */
export interface Undone {
  outcome: "done" | "known" | "changed" | "gone";
  photo: string | null;
  kind: string | null;
}

/** The neighbours of the desk. What they throw is explained as everywhere in the API. */
export interface DeskDeps {
  access: Omit<AccessDeps, "findToken">;
  /** Undefined where no provider is configured. */
  oidc: Oidc | undefined;
  /** Categories in the order of their keys. */
  categories: readonly string[];
  /** Seconds that a claim holds unless it is renewed. */
  leaseS: number;

  /** @param holder and the page before it in its tab, of which it takes over what that holds still. */
  claim(
    holder: Holder & { before?: string | undefined },
    parts: readonly Part[],
    limit: number,
  ): Promise<{ photo: string; kind: string }[]>;
  /** @returns those that are still held. */
  renew(holder: Holder, photos: readonly string[]): Promise<string[]>;
  release(holder: Holder, photos: readonly string[]): Promise<void>;
  /** Answers in their order. */
  decide(moderator: string, decisions: readonly Decision[]): Promise<Decided[]>;
  undo(holder: Holder, decision: string): Promise<Undone>;
  counts(): Promise<QueueCounts>;
  throughput(moderator: string, since: Date): Promise<Throughput>;
  /** Undefined where there is no current photo of this id. */
  appeal(photo: string, reason: string, by: string): Promise<{ at: string; fresh: boolean } | undefined>;

  /** Those that exist, in this order. */
  photos(ids: readonly string[]): Promise<DeskPhoto[]>;
  wholePhoto(id: string): Promise<DeskWholePhoto | undefined>;
  search(search: Search): Promise<Found>;
  /** A JPEG. @throws {PhotoError} or {UpstreamError} as fetching and decoding do. */
  picture(photo: string, size: keyof typeof SIDES): Promise<Uint8Array>;
  /** Where in it the model sees a human. @throws as `picture` does; {ConfigError} where the model does not say. */
  heat(photo: string): Promise<z.infer<typeof heat>>;
  /** Has a photo judged again. */
  rerun(photo: string, by: string): Promise<"queued" | "gone" | "moderator">;
  /** Erases all that is known of the object of a photo; undefined where there is no such photo. */
  forget(photo: string, by: string): Promise<Record<string, number> | undefined>;

  operate: OperateDeps;
  dashboards: DashboardDeps;
  board: Board;

  log(before: string | undefined, limit: number): Promise<AuditEntry[]>;
  sessions(): Promise<StoredSession[]>;
}

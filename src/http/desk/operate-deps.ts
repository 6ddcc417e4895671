import type { z } from "zod";
import type { Lane } from "../../photo.ts";
import type * as shapes from "./operate-schemas.ts";

export type Operating = Omit<z.infer<typeof shapes.operating>, "workers"> & {
  workers: (Omit<z.infer<typeof shapes.operating>["workers"][number], "figures"> & { figures: unknown })[];
};

export type DeliveryFigures = Operating["destinations"][number];

/** What operators watch and do. Whoever does something is named, and written down. */
export interface OperateDeps {
  /** How everything is now; a few seconds old at most, however many ask. */
  now(): Promise<Operating>;
  deadDeliveries(): Promise<z.infer<typeof shapes.deadDeliveries>["deliveries"]>;
  replayDeliveries(which: { destination: string; seq?: string | undefined }, by: string): Promise<number>;
  badMessages(): Promise<z.infer<typeof shapes.badMessages>["messages"]>;
  /** Its body; undefined where there is no such message. */
  badMessage(id: string): Promise<string | undefined>;
  /** Undefined where there is no such message. */
  replayBadMessage(id: string, by: string): Promise<Settled | undefined>;
  discardBadMessage(id: string, by: string): Promise<Settled | undefined>;
  replayFailures(
    code: string,
    after: string | undefined,
    by: string,
  ): Promise<{ queued: number; after: string | null }>;
  /** @returns false where it is in that state already. */
  changeLane(lane: Lane, state: "running" | "paused", by: string, why: string): Promise<boolean>;
  /** @throws {ConfigError} where there is no such backfill, or it is in that state or over. */
  changeBackfill(
    id: string,
    state: "running" | "paused" | "cancelled",
    by: string,
    why: string,
  ): Promise<void>;
  /** @returns how many photos the feeder will feed again. @throws {ConfigError} where there is no such backfill, or it was cancelled. */
  retryBackfill(id: string, code: string | undefined, by: string): Promise<number>;
}

/** What became of a message that was put aside. */
export interface Settled {
  state: "replayed" | "discarded" | "failed";
  /** Ids of the photos that it was about. */
  photos?: string[];
  code?: string;
  detail?: string;
}

import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from "@aws-sdk/client-s3";
import { startFauxqs } from "fauxqs";
import { afterAll } from "vitest";
import { type Intake, openIntake } from "../src/cli/intake.ts";
import { type BucketSweep, type Result, sweepBucket } from "../src/cli/sweep-bucket.ts";
import type { Config } from "../src/config.ts";
import { connectS3 } from "../src/image/s3.ts";
import { recordEvents } from "../src/store/events.ts";
import { versionOf } from "../src/version.ts";
import { BACKENDS, type Backend, test as base, type Database } from "./fixtures.ts";
import { startMoto } from "./moto.ts";

interface Bench {
  db: Database;
  config: Config;
  intake: Intake;
  s3: S3Client;
  bucket: string;
  put(key: string, body?: string): Promise<string>;
  remove(key: string): Promise<void>;
  /** Tells of what was put, as an event would. */
  told(kind: "created" | "removed", key: string, version: string, order?: string | null): Promise<void>;
  sweep(over?: Partial<BucketSweep> & { prefix?: string }): Promise<Result>;
  current(): Promise<string[]>;
  waiting(): Promise<number>;
}

const starts = {
  fauxqs: async () => {
    const server = await startFauxqs({ port: 0, logger: false });
    return { url: server.address, stop: () => server.stop() };
  },
  moto: startMoto,
};
const started = new Map<keyof typeof starts, ReturnType<typeof startMoto>>();
/** The store of all tests of a file, which the first that asks for it starts. */
function storeOf(name: keyof typeof starts): ReturnType<typeof startMoto> {
  const store = started.get(name) ?? starts[name]();
  started.set(name, store);
  return store;
}
afterAll(async () => {
  for (const store of started.values()) await (await store).stop();
});

let buckets = 0;

export const test = base.extend<{
  bench(server?: keyof typeof starts, versions?: boolean, backend?: Backend): Promise<Bench>;
}>({
  bench: async ({ db, configFor, scope }, use) => {
    await use(async (server = "fauxqs", versions = false, backend = BACKENDS[0]!) => {
      const config = configFor(backend, { MAITRED_S3_ENDPOINT: (await storeOf(server)).url });
      const intake = openIntake(config, scope, () => {});
      const s3 = connectS3(config, 8);
      scope.onClose("S3", () => s3.destroy());
      const bucket = `sweep-${buckets++}`;
      await s3.send(new CreateBucketCommand({ Bucket: bucket }));
      if (versions) {
        const on = { Bucket: bucket, VersioningConfiguration: { Status: "Enabled" } } as const;
        await s3.send(new PutBucketVersioningCommand(on));
      }
      return {
        db,
        config,
        intake,
        s3,
        bucket,
        async put(key, body = key) {
          const { VersionId, ETag } = await s3.send(
            new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }),
          );
          return versionOf(VersionId, ETag);
        },
        async remove(key) {
          await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
        },
        async told(kind, key, version, order = null) {
          const event = { kind, store: "s3", bucket, key, version, order, known: {} } as const;
          await recordEvents(db.pool, [event], "right");
        },
        sweep: ({ prefix = "", ...over } = {}) =>
          sweepBucket(
            { bucket, prefix },
            {
              intake,
              s3,
              config,
              signal: new AbortController().signal,
              dryRun: false,
              restart: false,
              allowRemovals: false,
              lane: "backfill",
              graceMs: 0,
              rate: 10_000,
              queueLimit: 10_000,
              progress: () => {},
              say: () => {},
              ...over,
            },
          ),
        current: async () =>
          (
            await db.pool.query(
              `select key || ' ' || version as photo from photos where superseded_at is null order by key collate "C"`,
            )
          ).rows.map(({ photo }) => photo),
        waiting: async () => (await intake.queues.depth("backfill")).waiting,
      };
    });
  },
});

export const counts = ({ listed, known, missed, gone, young, unclear }: Result) => ({
  listed,
  known,
  missed,
  gone,
  young,
  unclear,
});

export const found = (over: Partial<Result> = {}) => ({
  listed: 0,
  known: 0,
  missed: 0,
  gone: 0,
  young: 0,
  unclear: 0,
  ...over,
});

import type { Command } from "./command.ts";

/** The commands, in the order of the help. Each is read from the disk when it is called: with all of them a `--help` took a second. */
export const commands: Readonly<Record<string, { summary: string; load(): Promise<Command> }>> = {
  up: {
    summary:
      "everything in one process: on folders of yours and what is dropped in, or on photos of a bucket",
    load: async () => (await import("./up.ts")).up,
  },
  worker: {
    summary: "take photos from the queues and judge them, until told to stop",
    load: async () => (await import("./worker.ts")).worker,
  },
  api: {
    summary: "serve the HTTP API, which takes a bucket's events and tells what became of photos",
    load: async () => (await import("./api.ts")).api,
  },
  listen: {
    summary: "take a bucket's events from queues of SQS, until told to stop",
    load: async () => (await import("./listen.ts")).listen,
  },
  feed: {
    summary: "do what maitred backfill start asks for: keep the backfill queue filled, and small",
    load: async () => (await import("./feed.ts")).feed,
  },
  deliver: {
    summary: "tell destinations what became of photos: webhooks, and tags of S3 objects",
    load: async () => (await import("./deliver.ts")).deliver,
  },
  enqueue: {
    summary: "queue photos: objects, prefixes, files, folders, or a list on stdin",
    load: async () => (await import("./enqueue.ts")).enqueue,
  },
  queue: {
    summary: "show the two lanes, pause one, and resume it",
    load: async () => (await import("./queue.ts")).queue,
  },
  backfill: {
    summary: "judge old photos: a bucket, a list, or a choice from Postgres; start, watch, pause, report",
    load: async () => (await import("./backfill.ts")).backfill,
  },
  policy: {
    summary: "see what another policy would decide from the stored scores, and decide by it",
    load: async () => (await import("./policy.ts")).policy,
  },
  sweep: {
    summary: "compare buckets with Postgres: queue what events had missed, withdraw what is gone",
    load: async () => (await import("./sweep.ts")).sweep,
  },
  forget: {
    summary: "erase everything that is known of one object, and list what that was",
    load: async () => (await import("./forget.ts")).forget,
  },
  events: {
    summary: "list, show, replay and discard messages that could not be taken",
    load: async () => (await import("./events.ts")).events,
  },
  destination: {
    summary: "say who is told what became of photos: webhooks, tags of S3 objects, NOTIFY",
    load: async () => (await import("./destination.ts")).destination,
  },
  deliveries: {
    summary: "list what destinations have been told or are yet to be, and send it again",
    load: async () => (await import("./deliveries.ts")).deliveries,
  },
  classify: {
    summary: "judge files and folders here and now: no queue, no database",
    load: async () => (await import("./classify.ts")).classify,
  },
  evaluate: {
    summary: "measure a model on labelled photos, or two side by side, as a page and as JSON",
    load: async () => (await import("./evaluate.ts")).evaluate,
  },
  calibrate: {
    summary: "choose a policy's thresholds for what may be shown or held back at most",
    load: async () => (await import("./calibrate.ts")).calibrate,
  },
  labels: {
    summary: "export: what people said of photos, as the folder that training reads",
    load: async () => (await import("./labels.ts")).labels,
  },
  model: {
    summary: "list, verify, promote and compare models; workers follow without a restart",
    load: async () => (await import("./model.ts")).model,
  },
  token: {
    summary: "create, list and revoke the tokens that callers of the API need",
    load: async () => (await import("./token.ts")).token,
  },
  session: {
    summary: "list and revoke the sessions of those who are signed in to the desk",
    load: async () => (await import("./session.ts")).session,
  },
  migrate: {
    summary: "bring the database, and the queue where it is in Postgres, to this version's schema",
    load: async () => (await import("./migrate.ts")).migrate,
  },
  rollups: {
    summary: "compare the counts that dashboards read with the tables, and mend them",
    load: async () => (await import("./rollups.ts")).rollups,
  },
  doctor: {
    summary: "check everything that a worker needs, and say what to do about what is missing",
    load: async () => (await import("./doctor.ts")).doctor,
  },
  config: {
    summary: "print every setting as it is in effect, without secrets",
    load: async () => (await import("./config.ts")).config,
  },
};

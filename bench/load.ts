/** A process of its own that sends events over HTTP as fast as they are answered, and prints what became of them. */
import { performance } from "node:perf_hooks";
import { Pool } from "undici";
import { quantile, type Times, timesOf } from "./times.ts";

export interface Load {
  url: string;
  token: string;
  connections: number;
  /** 1: one record of S3 a request; more: that many photos in one list. */
  eventsEach: number;
  seconds: number;
}

export interface Loaded extends Times {
  eventsPerS: number;
  p99Ms: number;
  /** Requests by status. */
  statuses: Record<string, number>;
}

const load = JSON.parse(process.argv[2]!) as Load;
const run = `${process.pid}-${Date.now()}`;
const pool = new Pool(load.url, { connections: load.connections, pipelining: 1 });
let next = 0;
await send(Math.min(2, load.seconds / 4));
const loaded = await send(load.seconds);
await pool.close();
process.stdout.write(JSON.stringify(loaded));

async function send(seconds: number): Promise<Loaded> {
  const since = performance.now();
  const until = since + seconds * 1_000;
  const times: number[] = [];
  const statuses: Loaded["statuses"] = {};
  let accepted = 0;
  const connection = async (): Promise<void> => {
    while (performance.now() < until) {
      const [path, body] = load.eventsEach === 1 ? ["/v1/events/s3", record()] : ["/v1/photos", list()];
      const started = performance.now();
      const { statusCode, body: answer } = await pool.request({
        method: "POST",
        path,
        headers: { authorization: `Bearer ${load.token}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      await answer.text();
      times.push(performance.now() - started);
      statuses[statusCode] = (statuses[statusCode] ?? 0) + 1;
      if (statusCode === 202) accepted += load.eventsEach;
    }
  };
  await Promise.all(Array.from({ length: load.connections }, connection));
  if (accepted === 0) throw new Error(`expected 202 of some requests, got ${JSON.stringify(statuses)}`);
  return {
    eventsPerS: (accepted / (performance.now() - since)) * 1_000,
    ...timesOf(times),
    p99Ms: quantile(times, 0.99),
    statuses,
  };
}

function record(): object {
  const sequencer = (next++).toString(16).padStart(18, "0");
  const object = {
    key: `${run}/${next}.jpg`,
    size: 123_456,
    eTag: "d41d8cd98f00b204e9800998ecf8427e",
    sequencer,
  };
  const s3 = { s3SchemaVersion: "1.0", bucket: { name: "photos", arn: "arn:aws:s3:::photos" }, object };
  return { Records: [{ eventVersion: "2.1", eventSource: "aws:s3", eventName: "ObjectCreated:Put", s3 }] };
}

function list(): object[] {
  return Array.from({ length: load.eventsEach }, () => ({
    bucket: "photos",
    key: `${run}/${next++}.jpg`,
    etag: "d41d8cd98f00b204e9800998ecf8427e",
  }));
}

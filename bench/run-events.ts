/** `npm run bench:events`: what the intake does. */
import { runBench } from "./bench.ts";
import { measureEvents } from "./events.ts";
import { measureLatency } from "./latency.ts";
import { type Env, setUpBench } from "./setup.ts";

const about = `Measures how many events one process of maitred api commits and queues a second, one a request and 1,000 a request, with
the queue on Redis (if redis-server is on the PATH) and on the same Postgres; and how long a photo takes from its 202 to
its committed verdict while events come at a steady rate, with the model on this machine and photos from a local S3.`;
const options = {
  seconds: [10, "of each run of events"],
  latency: [60, "seconds of the steady rate; 0 leaves it out"],
  rate: [20, "its events a second"],
  queue: ["redis,postgres", "where it is"],
} as const;

await runBench("bench:events", about, options, async ({ values, scope, say, keep }) => {
  const { paths, queues, env } = await setUpBench(scope, 22, { appendOnly: true });
  const measured = Object.entries(queues).filter(([name]) => values.queue.split(",").includes(name));
  // what the runs of events leave in a queue must not stand before the photos of the steady rate
  const envFor = (url: string, prefix: string): Env =>
    env({
      MAITRED_QUEUE_URL: url,
      MAITRED_QUEUE_PREFIX: prefix,
      MAITRED_QUEUE_LIMIT: "0",
      MAITRED_RATE_LIMIT: "0",
      MAITRED_LOG_LEVEL: "info",
    });
  const events: Record<string, object> = {};
  for (const [name, url] of measured) {
    const rates = await measureEvents(envFor(url, "bench_events"), values.seconds);
    events[name] = rates;
    for (const [how, { eventsPerS, p50Ms, p95Ms, connections }] of Object.entries(rates)) {
      const took = `a request takes ${p50Ms.toFixed(1)} ms, p95 ${p95Ms.toFixed(1)}`;
      say(`${name} ${how}: ${eventsPerS.toFixed(0)} events/s over ${connections} connections; ${took}`);
    }
  }
  keep({ events });
  const latency: Record<string, object> = {};
  for (const [name, url] of values.latency > 0 ? measured : []) {
    const times = await measureLatency(envFor(url, "bench_latency"), values.rate, values.latency, paths);
    latency[name] = times;
    say(`${name}, from 202 to verdict: p50 ${times.p50Ms.toFixed(1)} ms, p95 ${times.p95Ms.toFixed(1)}`);
  }
  keep({ latency });
});

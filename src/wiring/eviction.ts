/** Part of processes: whether Redis keeps what it is given, also after a failover to one with other settings. */
import { asError } from "../errors.ts";
import { fresh, type GaugeSource } from "../http/gauges.ts";
import type { Scope } from "../lifecycle.ts";
import type { Logger } from "../log.ts";
import type { QueueServer } from "../queue/server.ts";
import { runEvery } from "../run-every.ts";

/**
 * Says every minute in the log that the queue's server may drop jobs, for as long as it may. What runs goes on, as nothing is lost
 * before its memory runs out.
 */
export function watchEviction(
  server: QueueServer,
  log: Logger,
  scope: Scope,
  failed: (error: Error) => void,
): void {
  const look = async (): Promise<void> => {
    // what is asked of one that is away would wait
    const wrong = server.connected() ? await server.eviction() : undefined;
    if (wrong) log.error(wrong);
  };
  // nobody waits for the answer, as one that hangs would hold up the end of the process
  const begin = async (): Promise<void> =>
    void look().catch((thrown: unknown) => {
      if (!scope.closing) failed(asError(thrown));
    });
  scope.hold("eviction", runEvery(begin, LOOK_MS, failed));
}

export function evictionGauge(server: QueueServer): GaugeSource {
  return {
    name: "maitred_queue_may_evict",
    help: "1 while the queue's Redis may drop jobs, by its maxmemory-policy",
    read: fresh(async () => ((await server.eviction()) ? 1 : 0)),
  };
}

const LOOK_MS = 60_000;

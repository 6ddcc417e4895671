import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import type { Queues } from "./queues.ts";

/**
 * The queues as bull-board shows them, to look at alone: a job that is removed or added by hand is a photo that waits for
 * ever, or one that nobody knows, and no audit log would have it.
 */
export function boardQueues({ own }: Queues): BullMQAdapter[] {
  return own.map(
    // its types know Redis alone; what it asks of a queue, every backend answers
    (queue) => new BullMQAdapter(queue as unknown as Shown, { readOnlyMode: true, allowRetries: false }),
  );
}

type Shown = ConstructorParameters<typeof BullMQAdapter>[0];

import { reasonOf } from "../queue/redis-check.ts";
import { printable, type Terminal } from "./terminal.ts";

/** What the connections of a queue server tell, see openQueueServer. */
export interface Told {
  onError(error: Error): void;
  onBack(): void;
}

/** Tells a person that the queue is waited for, once it has been away for some seconds, and when it is back. */
export function sayAway({ say }: Pick<Terminal, "say">): Told {
  let why = "";
  let timer: NodeJS.Timeout | undefined;
  let told = false;
  return {
    onError(error) {
      why = printable(reasonOf(error));
      timer ??= setTimeout(() => {
        told = true;
        say(`waits for the queue, which does not answer: ${why}\n`);
      }, AFTER_MS).unref();
    },
    onBack() {
      clearTimeout(timer);
      if (told) say("the queue answers again\n");
      [timer, told] = [undefined, false];
    },
  };
}

const AFTER_MS = 5_000;

import { useEffect, useRef, useState } from "preact/hooks";
import { connected } from "../live.ts";

/** Why a link led to nothing. */
export interface Refusal {
  /** 0: no answer came. */
  status: number;
  problem: string;
}

interface Followed<T> {
  link: string;
  came?: T;
  failed?: boolean;
  /** Why it failed, once that is known. */
  problem?: string;
  /** The server was not there, or not well. */
  away?: boolean;
}

interface Link<T> extends Omit<Followed<T>, "link"> {
  onCome(value: T): void;
  onFail(refusal: Promise<Refusal>): Promise<void>;
  /** Follows the link anew. */
  again(): void;
}

/**
 * What came of a signed link of a photo, which is good for minutes: where it is too old fresh ones are asked for, once, and
 * where the server was away it is followed again when that is back.
 *
 * @param onStale asks for fresh links, and has them once it is done; or not, where there are none.
 */
export function useLink<T>(photo: string, link: string, onStale: () => Promise<void> | void): Link<T> {
  const [state, setState] = useState<Followed<T>>({ link });
  const [asked, setAsked] = useState(false);
  useEffect(() => setAsked(false), [photo]);
  const now = state.link === link ? state : { link };
  // an image that is there no more tells that it came all the same
  const latest = useRef(link);
  latest.current = link;
  const settle = (next: Followed<T>): void => {
    if (link === latest.current) setState(next);
  };

  useEffect(() => {
    // the server is back: nobody has to ask for each picture that did not come meanwhile
    if (connected.value && now.away) setState({ link });
  }, [connected.value]);

  return {
    ...now,
    onCome: (came) => settle({ link, came }),
    async onFail(refusal) {
      settle({ link, failed: true });
      const { status, problem } = await refusal;
      if (status !== STALE || asked) {
        return settle({ link, failed: true, problem, away: status === 0 || status >= 500 });
      }
      setAsked(true);
      await onStale();
      // where fresh links came, this one is forgotten already
      setState((now) => (now.link === link && now.failed ? { link, failed: true, problem } : now));
    },
    again() {
      setAsked(false);
      setState({ link });
    },
  };
}

/** Of links that are too old. */
const STALE = 403;

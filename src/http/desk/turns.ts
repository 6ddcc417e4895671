import { HttpProblem } from "../problem.ts";

/**
 * Does a person's work when it is its turn.
 *
 * @throws {HttpProblem} 429 where too much of theirs waits already.
 */
type TakeTurn = <T>(whose: string, work: () => Promise<T>) => Promise<T>;

/**
 * Lets `width` pieces of work run at once. Those who wait take turns, each with their oldest piece, so that whoever asks for much
 * makes nobody but themselves wait for all of it.
 *
 * @param most pieces of one person that may wait.
 */
export function createTurns(width: number, most: number): TakeTurn {
  // in the order of their turns
  const waiting = new Map<string, (() => void)[]>();
  let inside = 0;

  function leave(): void {
    const [turn] = waiting;
    if (!turn) {
      inside--;
      return;
    }
    const [whose, [enter, ...rest]] = turn;
    waiting.delete(whose);
    if (rest.length > 0) waiting.set(whose, rest);
    enter!();
  }

  return async (whose, work) => {
    if (inside < width) inside++;
    else {
      const line = waiting.get(whose) ?? [];
      if (line.length >= most)
        throw new HttpProblem(429, `${most} pictures of yours wait already: try again`, {
          "retry-after": "5",
        });
      await new Promise<void>((enter) => waiting.set(whose, [...line, enter]));
    }
    try {
      return await work();
    } finally {
      leave();
    }
  };
}

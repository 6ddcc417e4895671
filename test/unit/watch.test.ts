import { expect, test } from "vitest";
import { type Watched, watchInference } from "../../src/infer/watch.ts";

/** Why a process that is watched so is given up, and at which look; a look is a millisecond. */
async function givenUp({
  oldest = () => undefined,
  failedTries = () => 0,
}: { [Each in keyof Watched]?: (look: number) => ReturnType<Watched[Each]> }) {
  let looks = 0;
  const watched = { oldest: () => oldest(++looks), failedTries: () => failedTries(looks) };
  const why = await new Promise<string>((resolve) => {
    watchInference(watched, 6, resolve, 1);
  });
  return { why, looks };
}

test("a model run that is out for too long ends the process", async () => {
  const run = {};
  expect(await givenUp({ oldest: () => run })).toEqual({ why: "a model run does not end", looks: 7 });
});

test("each run that ends is a new beginning", async () => {
  const [first, second] = [{}, {}];
  const oldest = (look: number) => (look <= 6 ? first : look === 7 ? undefined : second);
  expect(await givenUp({ oldest })).toEqual({ why: "a model run does not end", looks: 14 });
});

test("where tries fail for long the process is given up, and not where one succeeds meanwhile, or none is made", async () => {
  const failedTries = (look: number) => (look < 20 ? look : look === 20 ? 0 : look < 60 ? 5 : look);
  // one look of failing tries from 21 on, and 29 more from 60 on
  expect(await givenUp({ failedTries })).toEqual({ why: "no model run succeeds", looks: 88 });
});

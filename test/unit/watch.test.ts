import { expect, test } from "vitest";
import { type Watched, watchInference } from "../../src/infer/watch.ts";

/** Why a process that is watched so is given up; it has been looked at `looks` times by then. */
async function givenUp(watched: (look: number) => ReturnType<Watched["oldest"]>, infers = () => true) {
  let looks = 0;
  const why = await new Promise<string>((resolve) => {
    watchInference({ oldest: () => watched(++looks), infers }, resolve, 1);
  });
  return { why, looks };
}

test("a model run that is out at look after look ends the process", async () => {
  const run = {};
  expect(await givenUp(() => run)).toEqual({ why: "a model run does not end", looks: 7 });
});

test("each run that ends is a new beginning", async () => {
  const [first, second] = [{}, {}];
  // the first is out for six looks, then nothing, and the second never ends
  expect(await givenUp((look) => (look <= 6 ? first : look === 7 ? undefined : second))).toEqual({
    why: "a model run does not end",
    looks: 14,
  });
});

test("where no run succeeds for long the process is given up too, and not where one does meanwhile", async () => {
  let looks = 0;
  const sick = await givenUp(
    () => undefined,
    () => ++looks === 20,
  );
  expect(sick).toEqual({ why: "no model run succeeds", looks: 50 });
});

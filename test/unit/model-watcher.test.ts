import { expect, test } from "vitest";
import { createModelWatcher, type DesiredModels, type ModelRef } from "../../src/moderate/model-watcher.ts";
import { latch } from "../waits.ts";

const wanted = (id: string): ModelRef => ({ id, sha256: id });

/** A watcher of models that a test asks for; `steps` is all that it did. */
function follow(open: (wanted: ModelRef) => Promise<void> = async () => {}) {
  const steps: string[] = [];
  const desired: DesiredModels = { active: undefined, shadow: undefined };
  const watcher = createModelWatcher(
    {
      read: async () => ({ ...desired }),
      async open(which, background) {
        await open(which);
        steps.push(`open ${which.id}${background ? " behind" : ""}`);
        return { id: which.id, close: async () => void steps.push(`close ${which.id}`) };
      },
      replace: async (model) => void steps.push(`replace ${model.id}`),
      shadow: async (model, share) => void steps.push(`shadow ${model ? `${model.id} ${share}` : "none"}`),
      report: async (problem) => void (problem && steps.push(problem)),
      failed: (error) => void steps.push(error.message),
    },
    wanted("a"),
    60_000,
  );
  return { watcher, desired, steps };
}

test("opens what is active before it replaces what runs, once", async () => {
  const { watcher, desired, steps } = follow();
  await watcher.look();
  desired.active = wanted("a");
  await watcher.look();
  expect(steps).toEqual([]);
  desired.active = wanted("b");
  await watcher.look();
  await watcher.look();
  expect(steps).toEqual(["open b", "replace b"]);
  await watcher.close();
});

test("keeps what runs when the next cannot be opened, and tries again at each look", async () => {
  let broken = true;
  const { watcher, desired, steps } = follow(async () => {
    if (broken) throw new Error("no such folder");
  });
  desired.active = wanted("b");
  await watcher.look();
  expect(steps).toEqual(["no such folder"]);
  broken = false;
  await watcher.look();
  expect(steps).toEqual(["no such folder", "open b", "replace b"]);
  await watcher.close();
});

test("starts, changes and ends a shadow; one that cannot be opened leaves none", async () => {
  const { watcher, desired, steps } = follow(async ({ id }) => {
    if (id === "broken") throw new Error("broken");
  });
  desired.shadow = { ...wanted("s"), share: 0.1 };
  await watcher.look();
  desired.shadow = { ...wanted("s"), share: 0.2 };
  await watcher.look();
  desired.shadow = { ...wanted("broken"), share: 0.2 };
  await watcher.look();
  desired.shadow = undefined;
  await watcher.look();
  expect(steps).toEqual([
    "open s behind",
    "shadow s 0.1",
    "shadow none",
    "open s behind",
    "shadow s 0.2",
    "shadow none",
    "broken",
  ]);
  await watcher.close();
});

test("a shadow that becomes the active model ends before it is set beside itself", async () => {
  const { watcher, desired, steps } = follow();
  desired.shadow = { ...wanted("s"), share: 0.1 };
  await watcher.look();
  desired.shadow = undefined;
  desired.active = wanted("s");
  await watcher.look();
  expect(steps.slice(2)).toEqual(["shadow none", "open s", "replace s"]);
  await watcher.close();
});

test("what changes during a look is looked at once more", async () => {
  const opening = latch();
  const { watcher, desired, steps } = follow(() => opening.promise);
  desired.active = wanted("b");
  const look = watcher.look();
  // the first look has begun to open
  await Promise.resolve();
  desired.active = wanted("c");
  const again = [watcher.look(), watcher.look()];
  opening.resolve();
  await Promise.all([look, ...again]);
  expect(steps).toEqual(["open b", "replace b", "open c", "replace c"]);
  await watcher.close();
});

test("a model that is opened while the worker ends is closed, and never judges", async () => {
  const opening = latch();
  const { watcher, desired, steps } = follow(() => opening.promise);
  desired.active = wanted("b");
  void watcher.look();
  await Promise.resolve();
  const closing = watcher.close();
  opening.resolve();
  await closing;
  expect(steps).toEqual(["open b", "close b"]);
});

import { expect, test } from "vitest";
import { createFollower, type Orders, type Wanted } from "../../src/moderate/follow.ts";
import { latch } from "../waits.ts";

const wanted = (id: string): Wanted => ({ id, sha256: id });

/** A follower of orders that a test changes; `steps` is all that it did. */
function follow(open: (wanted: Wanted) => Promise<void> = async () => {}) {
  const steps: string[] = [];
  const orders: Orders = { active: undefined, shadow: undefined };
  const follower = createFollower(
    {
      read: async () => ({ ...orders }),
      async open(which, background) {
        await open(which);
        steps.push(`open ${which.id}${background ? " behind" : ""}`);
        return { id: which.id, close: async () => void steps.push(`close ${which.id}`) };
      },
      replace: async (model) => void steps.push(`replace ${model.id}`),
      shadow: async (model, share) => void steps.push(`shadow ${model ? `${model.id} ${share}` : "none"}`),
      report: async (problem) => void (problem && steps.push(problem)),
      unwell: (error) => void steps.push(error.message),
    },
    wanted("a"),
    60_000,
  );
  return { follower, orders, steps };
}

test("opens what is active before it replaces what runs, once", async () => {
  const { follower, orders, steps } = follow();
  await follower.look();
  orders.active = wanted("a");
  await follower.look();
  expect(steps).toEqual([]);
  orders.active = wanted("b");
  await follower.look();
  await follower.look();
  expect(steps).toEqual(["open b", "replace b"]);
  await follower.close();
});

test("keeps what runs when the next cannot be opened, and tries again at each look", async () => {
  let broken = true;
  const { follower, orders, steps } = follow(async () => {
    if (broken) throw new Error("no such folder");
  });
  orders.active = wanted("b");
  await follower.look();
  expect(steps).toEqual(["no such folder"]);
  broken = false;
  await follower.look();
  expect(steps).toEqual(["no such folder", "open b", "replace b"]);
  await follower.close();
});

test("starts, changes and ends a shadow; one that cannot be opened leaves none", async () => {
  const { follower, orders, steps } = follow(async ({ id }) => {
    if (id === "broken") throw new Error("broken");
  });
  orders.shadow = { ...wanted("s"), share: 0.1 };
  await follower.look();
  orders.shadow = { ...wanted("s"), share: 0.2 };
  await follower.look();
  orders.shadow = { ...wanted("broken"), share: 0.2 };
  await follower.look();
  orders.shadow = undefined;
  await follower.look();
  expect(steps).toEqual([
    "open s behind",
    "shadow s 0.1",
    "shadow none",
    "open s behind",
    "shadow s 0.2",
    "shadow none",
    "broken",
  ]);
  await follower.close();
});

test("a shadow that becomes the active model ends before it is set beside itself", async () => {
  const { follower, orders, steps } = follow();
  orders.shadow = { ...wanted("s"), share: 0.1 };
  await follower.look();
  orders.shadow = undefined;
  orders.active = wanted("s");
  await follower.look();
  expect(steps.slice(2)).toEqual(["shadow none", "open s", "replace s"]);
  await follower.close();
});

test("what changes during a look is looked at once more", async () => {
  const opening = latch();
  const { follower, orders, steps } = follow(() => opening.promise);
  orders.active = wanted("b");
  const look = follower.look();
  // the first look has begun to open
  await Promise.resolve();
  orders.active = wanted("c");
  const again = [follower.look(), follower.look()];
  opening.resolve();
  await Promise.all([look, ...again]);
  expect(steps).toEqual(["open b", "replace b", "open c", "replace c"]);
  await follower.close();
});

test("a model that is opened while the worker ends is closed, and never judges", async () => {
  const opening = latch();
  const { follower, orders, steps } = follow(() => opening.promise);
  orders.active = wanted("b");
  void follower.look();
  await Promise.resolve();
  const closing = follower.close();
  opening.resolve();
  await closing;
  expect(steps).toEqual(["open b", "close b"]);
});

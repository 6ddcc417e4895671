/**
 * Works on at most `width` items at once, and takes the next when one ends. After a failure none is begun, and the first one
 * is thrown once what is in hand has ended: whoever closes what the work needs then takes nothing away from it.
 */
export async function each<Item>(
  items: Iterable<Item> | AsyncIterable<Item>,
  width: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const source = reading(items);
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    while (failures.length === 0) {
      const { done, value } = await source.next();
      // while it was waited for, another may have failed
      if (done || failures.length > 0) return;
      await work(value);
    }
  };
  const lanes = Array.from({ length: width }, () => lane().catch((failure) => void failures.push(failure)));
  await Promise.all(lanes);
  await source.return(undefined);
  if (failures.length > 0) throw failures[0];
}

/** Those of either kind, which may be asked for several at a time: they come one after the other. */
async function* reading<Item>(items: Iterable<Item> | AsyncIterable<Item>): AsyncGenerator<Item, undefined> {
  yield* items;
}

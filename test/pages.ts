import type { Page } from "../src/backfill/pages.ts";

const never = () => Promise.reject(new Error("unused"));
/** What reads pages and is not asked in a test. */
export const unused = { list: never, select: never, view: never, open: never };
export const keysOf = ({ objects = [] }: Page): string[] => objects.map(({ key }) => key);

export async function gather<T>(all: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of all) found.push(each);
  return found;
}

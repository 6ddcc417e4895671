import type { Decision, Photo } from "../types.ts";
import { stateWords } from "../words.ts";
import { type Answer, counts } from "./outbox.ts";

/** A photo in the list of a moderator, and what they made of it so far. */
export interface Item {
  photo: Photo;
  /** The category that the next decision gives; null leaves it as it is. */
  category: string | null;
  /** Made here; it may still be on its way. */
  decision: Decision | undefined;
  /** What the server said of the decision. */
  answer: Answer | undefined;
}

export type Items = readonly Item[];

/**
 * What was claimed, merged into the list: what is there keeps its place and takes the fresh links, the rest follows. What was
 * decided is open again where it is asked about anew, as after an appeal, or where the decision did not count.
 *
 * @param onItsWay photos of decisions that the server did not have yet when it was asked for claims.
 * @param settled decisions that were answered by then: only a claim made after its decision asks anew.
 */
export function withClaimed(
  items: Items,
  claimed: readonly Photo[],
  onItsWay: ReadonlySet<string>,
  settled: ReadonlySet<string>,
): Items {
  const fresh = new Map(claimed.map((photo) => [photo.id, photo]));
  const known = items.map((item) => {
    const photo = fresh.get(item.photo.id);
    if (!photo || !item.decision) return photo ? { ...item, photo } : item;
    if (settled.has(item.decision.id))
      return { ...itemOf(photo), category: chosenSince(item, item.decision) };
    return { ...item, photo: { ...item.photo, links: photo.links } };
  });
  const there = new Set(items.map(({ photo }) => photo.id));
  const more = claimed.filter(({ id }) => !there.has(id) && !onItsWay.has(id));
  return [...known, ...more.map(itemOf)];
}

export function itemOf(photo: Photo): Item {
  return { photo, category: null, decision: undefined, answer: undefined };
}

/** What was chosen for the next decision, and did not go with the last. */
function chosenSince({ category }: Item, decision: Decision): string | null {
  return category === decision.category ? null : category;
}

/** Decisions that the server has answered. */
export function settledOf(items: Items): ReadonlySet<string> {
  return new Set(items.flatMap(({ decision, answer }) => (decision && answer ? decision.id : [])));
}

/** Without what is no longer held, unless it was decided here. */
export function withoutLost(items: Items, asked: ReadonlySet<string>, held: ReadonlySet<string>): Items {
  return items.filter(({ photo, decision }) => decision || !asked.has(photo.id) || held.has(photo.id));
}

/** The same list with some items changed. */
export function changed(items: Items, ids: ReadonlySet<string>, change: (item: Item) => Item): Items {
  return items.map((item) => (ids.has(item.photo.id) ? change(item) : item));
}

/**
 * The next item after `from` that is to be decided, or the first before it. Where there is none it is behind the last: what
 * was decided is not decided anew by one key too many.
 */
export function nextOpen(items: Items, from: number): number {
  const after = items.findIndex((item, index) => index > from && isOpen(item));
  if (after >= 0) return after;
  const before = items.findIndex(isOpen);
  return before >= 0 ? before : items.length;
}

/** The photo as its moderator made it, who need not wait for the server to see it so. */
export function asDecided({ photo, decision, answer }: Item): Photo {
  if (!decision || decision.verdict === "unsure" || (answer && !counts(answer))) return photo;
  return { ...photo, state: decision.verdict, rule: "moderator", sawHuman: decision.human };
}

/** What to say of an item: its decision, else what the server says. */
export function stateOf(item: Item): string {
  const { decision, answer, photo } = item;
  if (answer?.outcome === "withdrawn") return "withdrawn";
  if (isOverruled(item) && answer?.state) return stateWords(answer.state);
  return stateWords(decision ? decision.verdict : photo.state);
}

/** At most `most` items: of those that are decided the oldest go first, and never one that is not settled. */
export function bounded(items: Items, most: number): Items {
  let surplus = items.length - most;
  return items.filter(({ decision, answer }) => {
    const settled = decision && answer && counts(answer);
    return !(settled && surplus-- > 0);
  });
}

export function open(items: Items): Items {
  return items.filter(isOpen);
}

/** Whether it is to be decided. */
export function isOpen({ decision }: Item): boolean {
  return !decision;
}

/** Whether its moderator left it to others, and that counts as far as is known. Others may have decided it since. */
export function isLeft({ decision, answer }: Item): boolean {
  return decision?.verdict === "unsure" && (!answer || counts(answer));
}

/** Whether its moderator may still not be sure: what they decided, and counts, is taken back first. */
export function mayPass({ decision, answer }: Item): boolean {
  return !decision || (answer !== undefined && !counts(answer));
}

/**
 * Whether it was decided otherwise, replaced or removed meanwhile. Its moderator must have seen that: what decides it again is
 * nothing that may be pressed once more as if it had not been heard, and of other bytes only what shows them.
 */
export function isOverruled({ answer }: Item): boolean {
  return answer?.outcome === "changed" || answer?.outcome === "withdrawn";
}

/** Whether this was decided here already, and may count: once more would only make history longer. */
export function says(
  { decision, answer, category }: Item,
  verdict: Decision["verdict"],
  human: boolean | null,
): boolean {
  if (answer && !counts(answer)) return false;
  return decision?.verdict === verdict && decision.human === human && decision.category === category;
}

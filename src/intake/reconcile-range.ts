import { each } from "../each.ts";
import { etagOf, isAnyBytes, versionOf } from "../version.ts";
import { isFolder } from "./event.ts";
import { fits, MAX_KEY_BYTES } from "./shape.ts";

export interface ReconcileRules {
  /** Milliseconds for which the events of an object may be on their way: until then it is left alone. */
  graceMs: number;
  /** Whether the listing gives versions; without them a photo whose version is an id cannot be compared. */
  versions: boolean;
}

/** An object as the store shows it now. */
export interface ListedObject {
  key: string;
  /** As the store writes it. */
  etag: string | undefined;
  /** Where the bucket keeps versions; "null" is the store's name for having none. */
  versionId: string | undefined;
  modifiedAt: Date;
}

/** An object with the versions of its current photos, of which there is nearly always one. */
export interface KnownObject {
  key: string;
  versions: string[];
}

/** What is to be done about an object, as an event without an order, if its `state` is still the same. */
export interface Wanted {
  kind: "created" | "removed";
  key: string;
  version: string;
  state: string;
}

/** What is known of an object; of `state` only whether it changed matters. */
export interface ObjectState {
  key: string;
  state: string;
  seen: boolean;
}

/** Where a second look is taken at what differs. */
export interface ReconcileDeps {
  states(keys: readonly string[]): Promise<ObjectState[]>;
  /** The object as it is now. */
  look(key: string): Promise<ListedObject | "absent" | "refused">;
  /** Rejects unless the bucket is there, without which every object would look absent. */
  requireBucket(): Promise<void>;
}

interface Reconciled {
  counts: { listed: number; known: number; young: number; unclear: number };
  items: Wanted[];
}

/**
 * Says what is to be done about the objects of one range of keys. What differs is first read from the table and then
 * looked at in the store, in this order: where an event is committed between the two, the state is another one by the
 * time that it is acted upon. Only an object of which nothing was ever known is believed as it was listed.
 *
 * @throws what the neighbours throw: nothing is then known to be gone.
 */
export async function reconcileRange(
  deps: ReconcileDeps,
  rules: ReconcileRules,
  listed: readonly ListedObject[],
  known: readonly KnownObject[],
): Promise<Reconciled> {
  const counts = { listed: 0, known: 0, young: 0, unclear: 0 };
  const current = new Map(known.map(({ key, versions }) => [key, versions]));
  const doubtful = new Map<string, ListedObject | undefined>();
  const youngest = Date.now() - rules.graceMs;
  const there = new Set<string>();
  for (const object of listed) {
    there.add(object.key);
    // what events are not taken of
    if (isFolder(object.key) || !fits(object.key, MAX_KEY_BYTES)) continue;
    counts.listed++;
    if (agrees(object, current.get(object.key), rules)) counts.known++;
    else if (object.modifiedAt.getTime() > youngest) counts.young++;
    else doubtful.set(object.key, object);
  }
  for (const { key } of known) if (!there.has(key)) doubtful.set(key, undefined);

  const items: Wanted[] = [];
  const states = new Map(
    doubtful.size > 0 ? (await deps.states([...doubtful.keys()])).map((each) => [each.key, each]) : [],
  );
  const unsure: string[] = [];
  for (const [key, object] of doubtful) {
    const { state, seen } = states.get(key)!;
    // XML changes control characters on the way, where the store does not encode them
    if (object && !seen && !/\p{Cc}/u.test(key)) items.push(created(object, state));
    else unsure.push(key);
  }

  const found = await lookAt(deps, unsure);
  if ([...found.values()].includes("absent")) await deps.requireBucket();
  for (const [key, object] of found) {
    const { state } = states.get(key)!;
    if (object === "refused") counts.unclear++;
    else if (object === "absent") {
      if (current.has(key)) items.push({ kind: "removed", key, version: "", state });
      else counts.unclear++;
    } else if (agrees(object, current.get(key), rules)) counts.known++;
    else if (object.modifiedAt.getTime() > youngest) counts.young++;
    else items.push(created(object, state));
  }
  return { counts, items };
}

function created(object: ListedObject, state: string): Wanted {
  return { kind: "created", key: object.key, version: versionOf(object.versionId, object.etag), state };
}

/** Whether one of the object's current photos is this object, or is of a kind of which that cannot be told. */
function agrees(
  object: ListedObject,
  versions: readonly string[] | undefined,
  rules: ReconcileRules,
): boolean {
  return (versions ?? []).some((version) => {
    if (isAnyBytes(version)) return true;
    if (etagOf(version) !== undefined) return version === versionOf(undefined, object.etag);
    return !rules.versions || version === object.versionId;
  });
}

async function lookAt(
  deps: ReconcileDeps,
  keys: readonly string[],
): Promise<Map<string, ListedObject | "absent" | "refused">> {
  const found = new Map<string, ListedObject | "absent" | "refused">();
  await each(keys, LOOKS_AT_ONCE, async (key) => void found.set(key, await deps.look(key)));
  return found;
}

const LOOKS_AT_ONCE = 8;

import { computed, effect, signal } from "@preact/signals";
import { get, post, remove, speakFor, wordsOf } from "./api.ts";
import type { NoSession, Role, Session } from "./types.ts";

/** undefined until the server was asked. */
export const session = signal<Session | NoSession | undefined>(undefined);
/** Why somebody is not signed in, or not signed out, who tried. */
export const problem = signal("");
export const person = computed(() => (session.value?.signedIn ? session.value : undefined));

effect(() => speakFor(person.value?.name));

export function may(role: Role): boolean {
  return person.value?.roles.includes(role) ?? false;
}

/** Asks who is signed in; a one-time link in the address signs in first. */
export async function openSession(): Promise<void> {
  const link = new URLSearchParams(location.hash.slice(1)).get("link");
  const failed = new URLSearchParams(location.search).get("problem");
  if (failed) problem.value = PROVIDER_WORDS[failed] ?? failed;
  if (link || failed) history.replaceState(null, "", location.pathname);
  if (link) await signIn({ link });
  if (!person.peek()) await refresh();
}

export async function signIn(how: { token: string } | { link: string }): Promise<boolean> {
  try {
    session.value = await post<Session>("session", how);
    problem.value = "";
    return true;
  } catch (thrown) {
    problem.value = wordsOf(thrown);
    return false;
  }
}

export async function signOut(): Promise<void> {
  let failed = "";
  await remove("session").catch((thrown: unknown) => {
    failed = wordsOf(thrown);
  });
  await refresh();
  // whoever leaves the page now is to know that it is still theirs
  problem.value = person.peek() ? failed : "";
}

/** To be called where the server said 401: what is on the page stays, under the sign-in. */
export async function refresh(): Promise<void> {
  try {
    session.value = await get<Session | NoSession>("session");
  } catch (thrown) {
    if (!session.peek()) problem.value = wordsOf(thrown);
  }
}

/** Why a sign-in at the provider came to nothing, by the code that the server sends along. */
const PROVIDER_WORDS: Record<string, string> = {
  "oidc-failed": "the sign-in at your provider failed: try again, or ask your operator",
  "oidc-no-role": "you are known, but have no role at this desk: ask your operator",
  "oidc-unverified":
    "your provider has not verified your address, by which this desk knows you: verify it there",
  "oidc-expired": "the sign-in took too long: try again",
  "oidc-often": "too many sign-ins came from your address: try again in a minute",
  "oidc-away": "your provider does not answer: try again later",
};

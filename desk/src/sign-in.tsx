import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { whoseWait } from "./review/outbox.ts";
import { problem, session, signIn } from "./session.ts";
import { ThemeChoice } from "./shell.tsx";
import { Mark } from "./ui/mark.tsx";
import { useTitle } from "./ui/title.ts";
import { count } from "./words.ts";
import { browserStorage } from "./work.ts";

/** @param asked whether the server has said that nobody is signed in. */
export function SignIn({ asked }: { asked: boolean }) {
  const [busy, setBusy] = useState(false);
  useTitle("Sign in");
  const said = session.value;
  const oidc = said && !said.signedIn && said.oidc;
  const token = useRef<HTMLInputElement>(null);
  // where accounts are, the link to them comes first
  useLayoutEffect(() => void (!oidc && token.current?.focus()), [asked]);
  const here = location.pathname + location.search;

  async function onSubmit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const given = String(new FormData(event.currentTarget as HTMLFormElement).get("token"));
    setBusy(true);
    await signIn({ token: given.trim() });
    setBusy(false);
  }

  return (
    <main class="sign-in" id="main">
      <div class="sign-in-card">
        <h1>
          <Mark side={36} /> maitred
        </h1>
        {!asked && !problem.value && <p class="soft">One moment…</p>}
        {problem.value && (
          <p class="problem" role="alert">
            {problem.value}
          </p>
        )}
        {whoseWait(browserStorage()).map(({ owner, acts }) => (
          <p key={owner} class="sign-in-kept small">
            <b>{count(acts, "decision")}</b> of {owner} {acts === 1 ? "is" : "are"} kept in this browser, and
            sent once {owner} signs in here.
          </p>
        ))}
        {!asked && problem.value && (
          <button type="button" onClick={() => location.reload()}>
            Try again
          </button>
        )}
        {asked && (
          <>
            {oidc && (
              <>
                <a class="button primary" href={`/desk/api/oidc/start?to=${encodeURIComponent(here)}`}>
                  Sign in with your account
                </a>
                <p class="or soft small">or</p>
              </>
            )}
            <form onSubmit={(event) => void onSubmit(event)}>
              <label for="token">Token</label>
              <input
                ref={token}
                id="token"
                name="token"
                type="password"
                required
                autocomplete="current-password"
                spellcheck={false}
                aria-describedby="token-how"
              />
              <button type="submit" class={oidc ? "" : "primary"} disabled={busy}>
                Sign in
              </button>
            </form>
            <p id="token-how" class="soft small">
              An operator makes one:{" "}
              <code class="mono">
                maitred token create <span class="whole">--scopes</span> review NAME
              </code>
              . The scope says what you may do: review to decide, operate to run, read to look, or some with
              commas between.
            </p>
          </>
        )}
        <ThemeChoice />
      </div>
    </main>
  );
}

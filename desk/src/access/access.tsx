import { useState } from "preact/hooks";
import { get, remove, wordsOf } from "../api.ts";
import type { AuditLog, Sessions } from "../types.ts";
import { announce } from "../ui/announce.tsx";
import { Scrolled } from "../ui/scrolled.tsx";
import { useAsked } from "../ui/use-asked.ts";
import { when } from "../words.ts";

/** Who is signed in, and who did what: an operator ends sessions, and reads the log. */
export default function AccessPage() {
  return (
    <div class="access">
      <h1>Access</h1>
      <SignedIn />
      <Log />
    </div>
  );
}

function SignedIn() {
  const { answer, problem, again } = useAsked<Sessions>("sessions");
  const [failed, setFailed] = useState("");

  async function end(id: string, name: string): Promise<void> {
    try {
      await remove(`sessions/${id}`);
      setFailed("");
      announce(`The session of ${name} ended`);
    } catch (thrown) {
      setFailed(wordsOf(thrown));
    }
    again();
  }

  return (
    <section aria-labelledby="sessions">
      <h2 id="sessions">Signed in</h2>
      {(problem || failed) && (
        <p class="problem" role="alert">
          {problem || failed}
        </p>
      )}
      <Scrolled label="Table of sessions">
        <table class="small number">
          <thead>
            <tr>
              <th scope="col">name</th>
              <th scope="col">roles</th>
              <th scope="col">by</th>
              <th scope="col">since</th>
              <th scope="col">seen</th>
              <th scope="col">ends</th>
              <th scope="col">
                <span class="unseen">what may be done</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {answer?.sessions.map(({ id, name, roles, by, startedAt, seenAt, endsAt, own }) => (
              <tr key={id}>
                <th scope="row">{name}</th>
                <td>{roles.join(", ")}</td>
                <td class="mono">{by}</td>
                <td>{when(startedAt)}</td>
                <td>{when(seenAt)}</td>
                <td>{when(endsAt)}</td>
                <td>
                  {own ? (
                    <span class="soft">this one</span>
                  ) : (
                    <button
                      type="button"
                      onClick={() => void end(id, name)}
                      aria-label={`End the session of ${name}`}
                    >
                      End
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrolled>
    </section>
  );
}

/** Newest first, page after page. */
function Log() {
  const { answer, problem, set } = useAsked<AuditLog>("audit");
  const [failed, setFailed] = useState("");

  async function more(shown: AuditLog): Promise<void> {
    try {
      const { entries, next } = await get<AuditLog>("audit", { before: shown.next ?? undefined });
      set({ entries: [...shown.entries, ...entries], next });
      setFailed("");
    } catch (thrown) {
      setFailed(wordsOf(thrown));
    }
  }

  return (
    <section aria-labelledby="log">
      <h2 id="log">Log</h2>
      {(problem || failed) && (
        <p class="problem" role="alert">
          {problem || failed}
        </p>
      )}
      <Scrolled label="Table of entries">
        <table class="small number">
          <thead>
            <tr>
              <th scope="col">when</th>
              <th scope="col">who</th>
              <th scope="col">did</th>
              <th scope="col">photo</th>
              <th scope="col">about</th>
            </tr>
          </thead>
          <tbody>
            {answer?.entries.map(({ id, at, who, did, photo, about }) => (
              <tr key={id}>
                <td>{when(at)}</td>
                <th scope="row">{who}</th>
                <td>{did}</td>
                <td>{photo && <a href={`/desk/photos/${photo}`}>{photo}</a>}</td>
                <td class="soft">{wordsAbout(about)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scrolled>
      {answer?.next && (
        <button type="button" onClick={() => void more(answer)}>
          Older entries
        </button>
      )}
    </section>
  );
}

/** What is beside the point to a reader, such as ids, is left out. */
function wordsAbout(about: Record<string, unknown>): string {
  const told = Object.entries(about).filter(([name]) => name !== "decision" && name !== "session");
  return told
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(", ") : String(value)}`)
    .join("; ");
}

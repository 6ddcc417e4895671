import { useState } from "preact/hooks";
import { get, remove, wordsOf as wordsOfProblem } from "../api.ts";
import type { AuditLog, Sessions } from "../types.ts";
import { announce } from "../ui/announce.tsx";
import { Table } from "../ui/table.tsx";
import { useTitle } from "../ui/title.ts";
import { useAsked } from "../ui/use-asked.ts";
import { when } from "../words.ts";
import { meansOf, wordsOf } from "./entries.ts";

/** Who is signed in, and who did what: an operator ends sessions, and reads the log. */
export default function AccessPage() {
  useTitle("Access");
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
      setFailed(wordsOfProblem(thrown));
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
      <Table
        label="Table of sessions"
        head={["name", "roles", "signed in with", "since", "last used", "ends", ""]}
        stacked
      >
        {answer?.sessions.map(({ id, name, roles, by, startedAt, seenAt, endsAt, own }) => (
          <tr key={id}>
            <th scope="row">{name}</th>
            <td>{roles.join(", ")}</td>
            <td>{meansOf(by)}</td>
            <td data-name="since">{when(startedAt)}</td>
            <td data-name="last used">{when(seenAt)}</td>
            <td data-name="ends">{when(endsAt)}</td>
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
      </Table>
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
      setFailed(wordsOfProblem(thrown));
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
      <Table label="Table of entries" head={["when", "who", "did", "photo"]} stacked>
        {answer?.entries.map(({ id, at, who, token, did, photo, about }) => (
          <tr key={id}>
            <td>{when(at)}</td>
            <th scope="row">{token ? <span title={meansOf(who)}>token {token}</span> : meansOf(who)}</th>
            <td class="wrapped">{wordsOf({ did, about })}</td>
            <td>{photo && <a href={`/desk/photos/${photo}`}>photo {photo}</a>}</td>
          </tr>
        ))}
      </Table>
      {answer?.next && (
        <button type="button" onClick={() => void more(answer)}>
          Older entries
        </button>
      )}
    </section>
  );
}

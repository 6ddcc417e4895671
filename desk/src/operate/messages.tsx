import { useState } from "preact/hooks";
import { post } from "../api.ts";
import { may } from "../session.ts";
import type { BadMessage, BadMessages, Operating, Settled } from "../types.ts";
import { Dialog } from "../ui/dialog.tsx";
import { Table } from "../ui/table.tsx";
import { useAsked } from "../ui/use-asked.ts";
import { count, number, when } from "../words.ts";
import { type Act, useAct } from "./act.ts";
import { ActButton } from "./act-button.tsx";
import { Said } from "./said.tsx";

type Message = BadMessages["messages"][number];

/** Messages of queues and stores that could not be understood. */
export function Messages({ now }: { now: Operating }) {
  const act = useAct();
  const { answer, again } = useAsked<BadMessages>("operate/messages", {}, now.badMessages);
  const messages = answer?.messages ?? [];
  return (
    <section class="panel">
      <h2>Messages put aside</h2>
      {messages.length === 0 ? (
        <p class="soft small">Every message was understood.</p>
      ) : (
        <Table
          label="Messages put aside"
          stacked
          head={["from", "why", "received", "#tries", ...(may("operator") ? [""] : [])]}
        >
          {messages.map((message) => (
            <tr key={message.id}>
              <td>{message.source}</td>
              <td class="wrapped">
                <span class="mono">{message.code}</span> {message.detail}
              </td>
              <td>{when(message.receivedAt)}</td>
              <td class="figure" data-name="tries">
                {message.attempts}
              </td>
              {may("operator") && (
                <td>
                  <Acts message={message} act={act} onSettled={again} />
                </td>
              )}
            </tr>
          ))}
        </Table>
      )}
      {now.badMessages > messages.length && messages.length > 0 && (
        <p class="small soft">{number(now.badMessages - messages.length)} more wait.</p>
      )}
      <Said act={act} />
    </section>
  );
}

function Acts({ message: { id }, act, onSettled }: { message: Message; act: Act; onSettled(): void }) {
  const [shown, setShown] = useState(false);
  const settle = (how: "replay" | "discard"): void =>
    void act.run(async () => {
      const { state, photos, code, detail } = await post<Settled>(`operate/messages/${id}/${how}`, {});
      onSettled();
      if (state === "failed") throw new Error(`message ${id} failed again: ${code} ${detail}`);
      return `Message ${id} was ${state}${state === "replayed" ? `: ${count(photos.length, "photo")}` : ""}.`;
    });
  return (
    <div class="acts">
      <button type="button" class="small" onClick={() => setShown(true)}>
        Show <span class="unseen">message {id}</span>
      </button>
      <ActButton act={act} of={`message ${id}`} onClick={() => settle("replay")}>
        Replay
      </ActButton>
      <ActButton act={act} of={`message ${id}`} danger onClick={() => settle("discard")}>
        Discard
      </ActButton>
      {shown && <Body id={id} onClose={() => setShown(false)} />}
    </div>
  );
}

function Body({ id, onClose }: { id: string; onClose(): void }) {
  const { answer, problem } = useAsked<BadMessage>(`operate/messages/${id}`);
  return (
    <Dialog title={`Message ${id}, as it came`} onClose={onClose}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by the keyboard */}
      <pre class="message small" tabIndex={0}>
        {answer?.body ?? (problem || "One moment…")}
      </pre>
    </Dialog>
  );
}

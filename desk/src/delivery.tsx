import { connected } from "./live.ts";
import { Icon } from "./ui/icon.tsx";
import { count } from "./words.ts";
import { useWork } from "./work.ts";

/** What is on its way to the server, and whether that can be reached; nothing where all is well. */
export function Delivery() {
  const { outbox } = useWork();
  const waiting = outbox.waiting.value.length;
  const away = !connected.value || outbox.trouble.value !== "";
  return (
    <p class="delivery small" role="status">
      {away && (
        <span class="delivery-away">
          <Icon name="offline" /> Offline
        </span>
      )}
      {away && waiting > 0 && (
        <>
          <span class="number">{count(waiting, "decision")} kept here</span>
          <button type="button" class="quiet small" onClick={() => outbox.wake()}>
            Send now
          </button>
        </>
      )}
    </p>
  );
}

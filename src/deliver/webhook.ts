import http from "node:http";
import https from "node:https";
import type { Closable } from "../lifecycle.ts";
import { sign } from "../signature.ts";
import { type Addresses, why } from "./addresses.ts";
import type { Attempt } from "./message.ts";

interface Post {
  url: string;
  secrets: readonly string[];
  /** The header `webhook-id`. */
  id: string;
  body: string;
}

interface WebhookSender extends Closable {
  /** Never throws: what goes wrong is the receiver's, or the network's, and is the answer. */
  post(post: Post): Promise<Attempt>;
}

/**
 * @param timeoutMs for the whole exchange: finding the address, connecting, sending, and the answer to its end.
 * @param agent the header `user-agent`.
 */
export function createWebhookSender(
  addresses: Addresses,
  { timeoutMs, agent }: { timeoutMs: number; agent: string },
): WebhookSender {
  const plain = new http.Agent({ keepAlive: true, lookup: addresses.lookup(false) });
  const secure = new https.Agent({ keepAlive: true, lookup: addresses.lookup(true) });

  function send({ url: text, secrets, id, body }: Post, signal: AbortSignal): Promise<Attempt> {
    const url = new URL(text);
    const encrypted = url.protocol === "https:";
    if (!addresses.permits(url.hostname, encrypted)) {
      throw new Error(`${url.hostname} ${why(addresses.permits(url.hostname, true))}`);
    }
    const timestamp = Math.floor(Date.now() / 1000);
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "user-agent": agent,
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": sign(secrets, id, timestamp, body),
    };
    return new Promise((resolve, reject) => {
      const { request } = encrypted ? https : http;
      const sent = request(url, { method: "POST", agent: encrypted ? secure : plain, headers, signal });
      sent.on("response", (answer) => {
        const done = (): void => resolve(judge(answer));
        let bytes = 0;
        answer.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
          // what it says beyond its status is of no use here: the connection goes, and the answer counts
          if (bytes > MAX_ANSWER_BYTES) {
            done();
            answer.destroy();
          }
        });
        answer.on("end", done);
        answer.on("error", reject);
      });
      sent.on("error", (error) => reject(Object.assign(error, { reused: sent.reusedSocket })));
      sent.on("close", () => reject(new Error("the connection was closed before a complete answer")));
      sent.end(body);
    });
  }

  return {
    async post(post) {
      const signal = AbortSignal.timeout(timeoutMs);
      try {
        return await send(post, signal).catch((error: Error & { code?: string; reused?: boolean }) => {
          // a connection that was kept open may have been closed at the other end just now
          if (error.reused && error.code === "ECONNRESET") return send(post, signal);
          throw error;
        });
      } catch (thrown) {
        if (signal.aborted) return { outcome: "failed", why: `no complete answer within ${timeoutMs} ms` };
        const { message, code } = thrown as Error & { code?: string };
        return { outcome: "failed", why: message || code || "no answer" };
      }
    },
    async close() {
      plain.destroy();
      secure.destroy();
    },
  };
}

function judge({ statusCode: status = 0, headers }: http.IncomingMessage): Attempt {
  if (status >= 200 && status < 300) return { outcome: "delivered" };
  if (status === 410) return { outcome: "refused", why: "it answered 410 Gone" };
  const where = status >= 300 && status < 400 ? ": redirects are not followed" : "";
  const busy = status === 429 || status === 503;
  return {
    outcome: "failed",
    why: `it answered ${status}${where}`,
    retryAfterMs: busy ? retryAfterMs(headers["retry-after"], Date.now()) : undefined,
  };
}

/**
 * Milliseconds that a header Retry-After asks for, in seconds or as a date, at most a day; undefined where it says neither.
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, 0), DAY_MS);
}

const MAX_ANSWER_BYTES = 16_384;
const DAY_MS = 86_400_000;

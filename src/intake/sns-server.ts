import { type KeyObject, X509Certificate } from "node:crypto";
import { asError, EventError, UpstreamError } from "../errors.ts";

/** How the certificates of SNS are fetched: the global `fetch`, or a test's own. */
export type Fetch = (url: URL, init: RequestInit) => Promise<Response>;

/**
 * The public keys of SNS, by the address of their certificate. Each is fetched once, and checked for its dates each time:
 * what TLS brought from a host of SNS is SNS's. At most `MAX_KEYS` are kept and `MAX_FETCHES` fetched at once, however
 * many addresses are asked for.
 *
 * @throws (each call) {EventError} EVENT_REFUSED where there is no certificate that is valid now, {UpstreamError}
 *   SENDER_UNAVAILABLE where the host does not answer.
 */
export function createSigningKeys(fetch: Fetch): (url: URL) => Promise<KeyObject> {
  const kept = new Map<string, X509Certificate>();
  const fetching = new Map<string, Promise<X509Certificate>>();

  async function fetched(url: URL): Promise<X509Certificate> {
    const certificate = asCertificate(await ask(fetch, url, MAX_CERTIFICATE_BYTES), url);
    const oldest = kept.keys().next();
    if (kept.size >= MAX_KEYS && !oldest.done) kept.delete(oldest.value);
    kept.set(url.href, certificate);
    return certificate;
  }

  return async (url) => {
    let certificate = kept.get(url.href);
    if (!certificate) {
      let work = fetching.get(url.href);
      if (!work) {
        if (fetching.size >= MAX_FETCHES)
          throw unavailable(`${fetching.size} certificates are fetched already`);
        work = fetched(url).finally(() => fetching.delete(url.href));
        fetching.set(url.href, work);
      }
      certificate = await work;
    }
    const { validFrom, validTo } = certificate;
    const at = new Date();
    if (at < new Date(validFrom) || at > new Date(validTo)) {
      throw new EventError(
        "EVENT_REFUSED",
        `SigningCertURL: its certificate is valid from ${validFrom} to ${validTo}`,
      );
    }
    return certificate.publicKey;
  };
}

/** Visits the address that confirms a subscription. @throws as above. */
export async function confirmSubscription(fetch: Fetch, url: URL): Promise<void> {
  await ask(fetch, url, MAX_ANSWER_BYTES);
}

/** What is at an address of SNS, which never sends anybody elsewhere. */
async function ask(fetch: Fetch, url: URL, maxBytes: number): Promise<Buffer> {
  const where = `${url.host}${url.pathname}`;
  let response: Response;
  try {
    response = await fetch(url, { redirect: "manual", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (cause) {
    throw unavailable(`${where}: ${asError(cause).message}`, cause);
  }
  if (!response.ok) {
    await response.body?.cancel().catch(() => {});
    if (response.status >= 500 || response.status === 429) {
      throw unavailable(`${where} answered ${response.status}`);
    }
    throw new EventError("EVENT_REFUSED", `${where} answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    // leaving the loop closes the connection
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      if (size > maxBytes) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw unavailable(`${where}: ${asError(cause).message}`, cause);
  }
  if (size > maxBytes) {
    throw new EventError("EVENT_REFUSED", `${where} answered with more than ${maxBytes} bytes`);
  }
  return Buffer.concat(chunks);
}

function asCertificate(pem: Buffer, url: URL): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new EventError("EVENT_REFUSED", `SigningCertURL: no certificate lies at ${url.pathname}`, {
      cause,
    });
  }
}

function unavailable(message: string, cause?: unknown): UpstreamError {
  return new UpstreamError("SENDER_UNAVAILABLE", `SNS: ${message}`, { cause });
}

const MAX_KEYS = 16;
const MAX_FETCHES = 4;
const MAX_CERTIFICATE_BYTES = 32_768;
const MAX_ANSWER_BYTES = 65_536;
const TIMEOUT_MS = 5_000;

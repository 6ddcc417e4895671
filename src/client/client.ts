/** A photo to be judged. */
export interface NewPhoto {
  bucket: string;
  /** As the store knows it, not encoded. */
  key: string;
  /** Version id, where the bucket keeps versions. */
  version?: string | null | undefined;
  /**
   * Without a version id, what tells this photo from a later one under the same key, as the upload's answer has it. With neither, it is
   * whichever photo is current, and where no other event names one, whatever lies under its key.
   */
  etag?: string | null | undefined;
  /** The restaurant it belongs to. The last that is told counts, of the uploader too. */
  listing?: string | undefined;
  uploader?: "moderator" | "user" | undefined;
  /** The category that its uploader marked. The first that is told stays. */
  claimed?: string | undefined;
}

/** What became of telling of one photo: `accepted` and `removed` changed something, the others did not. */
export interface Taken {
  /** null where no photo is known: of a removal, where nothing was shown before. */
  id: string | null;
  bucket: string;
  key: string;
  outcome: "accepted" | "known" | "removed" | "duplicate" | "stale";
}

/** An appeal that moderators are to answer. */
export interface Appeal {
  /** The photo, which keeps its verdict meanwhile. */
  id: string;
  /** When it was made: the one that was open already, where there was one. */
  at: string;
}

/** What is known of a photo. Times are ISO 8601. */
export interface Photo {
  id: string;
  store: "s3" | "folder";
  bucket: string;
  key: string;
  /** Version id; `etag:` and the etag; `generation:` and that of Cloud Storage; or empty where nobody knows. */
  version: string;
  /** false once it was removed, or another version of its object took its place. */
  current: boolean;
  /** Whether it may be shown. */
  public: boolean;
  state: "pending" | "shown" | "hidden" | "review" | "failed";
  listing: string | null;
  uploader: "moderator" | "user" | null;
  claimed: string | null;
  category: string | null;
  /** Probability 0 to 1 that a human is visible. */
  human: number | null;
  tags: { category: string; score: number; threshold: number; by: string }[];
  verdict: "shown" | "hidden" | "review" | null;
  rule: string | null;
  reason: string | null;
  /** The code, where it could not be judged. */
  failure: string | null;
  /** model:NAME or moderator:NAME; of a failure the model that was to judge it. */
  by: string | null;
  registeredAt: string;
  decidedAt: string | null;
  /** Oldest first; the newest hundred. */
  history: {
    verdict: string;
    rule: string;
    reason: string;
    category: string | null;
    by: string;
    at: string;
  }[];
}

/** That the API did not do what was asked. */
export class ApiError extends Error {
  // not that of the class, which bundlers shorten
  override readonly name: string = "ApiError";
  /** HTTP's; 0 where there was no answer. */
  readonly status: number;
  /** Seconds after which to ask again, where the API said so: it is busy, or a server behind it is away. */
  readonly retryAfterS: number | undefined;
  /** The API's own code of it, where it has one. */
  readonly code: string | undefined;

  constructor(
    status: number,
    message: string,
    retryAfterS: number | undefined,
    code?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.status = status;
    this.retryAfterS = retryAfterS;
    this.code = code;
  }
}

export interface ClientOptions {
  /** Where `maitred api` answers, such as https://maitred.example. */
  url: string;
  /** Of `maitred token create`, with the scope read to read, and ingest for all else. */
  token: string;
  /** Longest one request may take; by default ten seconds. */
  timeoutMs?: number;
}

export interface Client {
  /**
   * Tells of a photo, which is judged once however often it is told of.
   *
   * @param idempotencyKey makes the answer the same for a day, so that a request which may have arrived can be repeated.
   * @throws {ApiError}
   */
  enqueuePhoto(photo: NewPhoto, idempotencyKey?: string): Promise<Taken>;
  /** Tells of 1 to 1,000 photos, all or none; answers in their order. @throws {ApiError} */
  enqueuePhotos(photos: readonly NewPhoto[], idempotencyKey?: string): Promise<Taken[]>;
  /**
   * Tells that an object was deleted, where no event of its bucket does: no photo of it is shown any more. It counts as it comes: repeat it only
   * while nothing new lies under the key.
   *
   * @throws {ApiError}
   */
  removePhoto(object: { bucket: string; key: string }): Promise<Taken>;
  /**
   * Has a moderator look at a verdict again.
   *
   * @param by who objects, such as uploader:77.
   * @returns undefined where no current photo has this id.
   * @throws {ApiError}
   */
  appealPhoto(id: string, appeal: { reason: string; by?: string | undefined }): Promise<Appeal | undefined>;
  /** What is known of a photo, by its id or of an object; undefined where nothing is. @throws {ApiError} */
  readPhoto(which: string | { bucket: string; key: string }): Promise<Photo | undefined>;
}

/**
 * Speaks with `maitred api`. Nothing is repeated: an ApiError says when the caller may.
 *
 * @throws {TypeError} where the token cannot be one, or the address cannot, or has user and password.
 */
export function createClient({ url, token, timeoutMs = 10_000 }: ClientOptions): Client {
  const address = URL.canParse(url) ? new URL(url) : undefined;
  // fetch would say the password in the message of its error
  if (!address || !/^https?:$/.test(address.protocol) || address.username || address.password)
    throw new TypeError(
      "url: expected an address such as https://maitred.example, without user and password",
    );
  const base = url.replace(/\/+$/, "");
  // as files and secret stores end what they hold
  const bearer = token.trim();
  // fetch would say the token in the message of its error
  if (!/^[\x21-\x7e]+$/.test(bearer)) throw new TypeError("token: expected visible ASCII characters");

  async function ask(
    method: string,
    path: string,
    body?: unknown,
    idempotencyKey?: string,
  ): Promise<unknown> {
    const headers = {
      authorization: `Bearer ${bearer}`,
      ...(body !== undefined && { "content-type": "application/json" }),
      ...(idempotencyKey !== undefined && { "idempotency-key": idempotencyKey }),
    };
    const request = {
      method,
      headers,
      // a token is for this address, and not for one that it may name; some runtimes know no "error"
      redirect: "manual",
      // frameworks replace fetch, and keep answers: Next.js 14 goes on with "shown" of what is hidden since
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
      ...(body !== undefined && { body: JSON.stringify(body) }),
    } as const;
    const [answer, text] = await fetch(base + path, request)
      .then(async (answer) => [answer, await answer.text()] as const)
      .catch((cause: Error) => {
        const why = cause.cause instanceof Error ? cause.cause.message : cause.message;
        throw new ApiError(0, `${method} ${path.split("?")[0]}: no answer: ${why}`, undefined, undefined, {
          cause,
        });
      });
    const said = parsed(text);
    if (answer.ok && said !== undefined) return said;
    const { detail, code } = (said ?? {}) as { detail?: unknown; code?: unknown };
    const message = typeof detail === "string" ? detail : answer.statusText || "no answer that is understood";
    const after = Number(answer.headers.get("retry-after") ?? Number.NaN);
    throw new ApiError(
      answer.status,
      message,
      Number.isFinite(after) ? after : undefined,
      typeof code === "string" ? code : undefined,
    );
  }

  return {
    enqueuePhoto: async (photo, key) => (await ask("POST", "/v1/photos", photo, key)) as Taken,
    async enqueuePhotos(photos, key) {
      return ((await ask("POST", "/v1/photos", photos, key)) as { photos: Taken[] }).photos;
    },
    removePhoto: async (object) => (await ask("DELETE", pathOf(object))) as Taken,
    appealPhoto: async (id, appeal) => {
      const path = `${pathOf(id)}/appeal`;
      return (await ask("POST", path, appeal).catch(unknown)) as Appeal | undefined;
    },
    readPhoto: async (which) => (await ask("GET", pathOf(which)).catch(unknown)) as Photo | undefined,
  };
}

function pathOf(which: string | { bucket: string; key: string }): string {
  return typeof which === "string"
    ? `/v1/photos/${encodeURIComponent(which)}`
    : `/v1/photos?${new URLSearchParams({ bucket: which.bucket, key: which.key })}`;
}

/** Undefined of a photo that is not known; any other 404 is of an address that is not the API's. */
function unknown(error: unknown): undefined {
  if (error instanceof ApiError && error.code === "PHOTO_UNKNOWN") return undefined;
  throw error;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

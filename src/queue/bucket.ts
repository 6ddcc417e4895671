/**
 * What one bucket answered of late, by which a store that is away is told from a photo that is at fault. `asking` is whether a photo
 * asks it for all others now that it is away.
 */
export class Bucket {
  asking = false;
  #gaveAt = 0;
  readonly #refused = new Set<string>();

  /** Whether it refused so many photos since it gave one that it is away, and not they are at fault. */
  get away(): boolean {
    return this.#refused.size >= MANY_REFUSED;
  }

  /** Whether it has given none that was asked for after `time`, in milliseconds since 1970. */
  gaveNoneSince(time: number): boolean {
    return this.#gaveAt <= time;
  }

  gave(askedAt: number): void {
    this.#gaveAt = Math.max(this.#gaveAt, askedAt);
    this.#refused.clear();
  }

  refused(photoId: string): void {
    if (!this.away) this.#refused.add(photoId);
  }
}

/** In a row. */
const MANY_REFUSED = 5;

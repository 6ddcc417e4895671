/**
 * Why a person is asked about a photo: somebody appealed; a moderator hid the same bytes; the model is not sure about
 * humans; every such photo is verified; it is not sure of the category; its scores cannot be used; the photo was drawn at
 * random.
 */
export const KINDS = ["appeal", "hidden-copy", "human", "verify", "category", "scores", "audit"] as const;
export type Kind = (typeof KINDS)[number];

/** Kinds of which photos are claimed together, and at most how many. */
export interface Part {
  kinds: readonly Kind[];
  most: number;
}

/**
 * In which order a moderator who wants to hold `limit` photos gets them: first one audit in ten, because a long list
 * would otherwise starve them and nobody would know how often the model errs; then appeals, behind each of which somebody
 * waits; then what the model left open, the oldest first; then more audits, where nothing else is left.
 */
export function partsOf(kinds: readonly Kind[], limit: number): Part[] {
  const among = (wanted: readonly Kind[]): Kind[] => wanted.filter((kind) => kinds.includes(kind));
  const parts: Part[] = [
    { kinds: among(["audit"]), most: Math.ceil(limit / 10) },
    { kinds: among(["appeal"]), most: limit },
    { kinds: among(["hidden-copy", "human", "verify", "category", "scores"]), most: limit },
    { kinds: among(["audit"]), most: limit },
  ];
  return parts.filter((part) => part.kinds.length > 0);
}

import { availableParallelism } from "node:os";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { ConfigError, PhotoError } from "../../errors.ts";
import { readShape } from "../../intake/shape.ts";
import { HttpProblem } from "../problem.ts";
import type { Access } from "./access.ts";
import type { DeskDeps } from "./deps.ts";
import { linkHolds, SIZES } from "./links.ts";
import { id as photoId } from "./schemas.ts";
import { createTurns } from "./turns.ts";

/**
 * Serves what links lead to: a link opens its picture for the session that it was made for, while it holds. A few are made at
 * once, so that whatever is asked for takes bounded memory, and people take turns.
 */
export function servePictures(
  app: FastifyInstance,
  access: Access,
  deps: Pick<DeskDeps, "picture" | "heat">,
): void {
  const drawn = createTurns(PICTURES_AT_ONCE, MAX_WAITING);
  // one after the other, and beside the others, which are faster and are not to wait for them
  const explained = createTurns(1, MAX_EXPLAINED);
  app.get("/desk/api/pictures/:id/:size", { exposeHeadRoute: false }, async (request, reply) => {
    const session = await access.require(request, "any");
    const { id, size } = readShape(asked, request.params, "expected a photo and a size");
    const { sign, ...about } = readShape(proof, request.query, "expected asOf, until and sign");
    if (!linkHolds(session.secret, { photo: id, size, ...about, signature: sign }, new Date()))
      throw new HttpProblem(403, "the link is too old, or not of this session: ask for the photo again");
    const etag = `"${sign}"`;
    // a browser that has it asks each time whether its session still may; one that goes back in its history does not, unless
    // its cookie is another since
    const kept = { "cache-control": "private, no-cache", vary: "cookie", etag };
    if (request.headers["if-none-match"]?.includes(etag)) return reply.code(304).headers(kept).send();
    const made = (size === "heat" ? explained : drawn)<unknown>(session.name, async () => {
      // whoever scrolls by wants the next ones, and not these
      if (reply.raw.destroyed) throw new PhotoError("GONE", "nobody waits for it any more");
      return size === "heat" ? deps.heat(id) : deps.picture(id, size);
    });
    const answer = await made.catch((thrown: unknown) => {
      throw asProblem(thrown);
    });
    if (size !== "heat") reply.type("image/jpeg");
    return reply.headers(kept).send(answer);
  });
}

/** What is wrong with a photo is no mistake of whoever asked for it. */
function asProblem(thrown: unknown): unknown {
  if (thrown instanceof ConfigError) return new HttpProblem(409, thrown.message);
  if (!(thrown instanceof PhotoError)) return thrown;
  const away = thrown.code === "GONE" || thrown.code === "ACCESS_DENIED";
  return new HttpProblem(away ? 404 : 422, `${thrown.code}: ${thrown.message}`);
}

const asked = z.object({ id: photoId, size: z.enum(SIZES) });
const proof = z.object({
  asOf: z.string().max(20),
  until: z.coerce.number().int(),
  sign: z.string().max(100),
});

/** Pictures that are made at once. */
export const PICTURES_AT_ONCE = availableParallelism() + 2;
/** Some pages of pictures, of one person. */
const MAX_WAITING = 500;
/** A page asks for one at a time. */
const MAX_EXPLAINED = 50;

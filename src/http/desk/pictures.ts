import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { ConfigError, PhotoError } from "../../errors.ts";
import { readShape } from "../../intake/shape.ts";
import { HttpProblem } from "../problem.ts";
import type { Access } from "./access.ts";
import type { DeskDeps } from "./deps.ts";
import { linkHolds, SIZES } from "./links.ts";
import { id as photoId } from "./schemas.ts";

/** Serves what links lead to: a link opens its picture for the session that it was made for, while it holds. */
export function servePictures(
  app: FastifyInstance,
  access: Access,
  deps: Pick<DeskDeps, "picture" | "heat">,
): void {
  app.get("/desk/api/pictures/:id/:size", { exposeHeadRoute: false }, async (request, reply) => {
    const session = await access.require(request, "any");
    const { id, size } = readShape(asked, request.params, "expected a photo and a size");
    const { sign, ...about } = readShape(proof, request.query, "expected asOf, until and sign");
    const leftS = linkHolds(session.secret, { photo: id, size, ...about, signature: sign }, new Date());
    if (leftS === undefined)
      throw new HttpProblem(403, "the link is too old, or not of this session: ask for the photo again");
    const left = new AbortController();
    // whoever scrolls by wants the next ones, and not these
    reply.raw.once("close", () => left.abort());
    const made = size === "heat" ? deps.heat(id, left.signal) : deps.picture(id, size, left.signal);
    const answer = await made.catch((thrown: unknown) => {
      throw asProblem(thrown);
    });
    if (size !== "heat") reply.type("image/jpeg");
    return reply.header("cache-control", `private, max-age=${leftS}`).send(answer);
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

import { isUtf8 } from "node:buffer";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { HttpProblem } from "./problem.ts";

/**
 * Reads bodies as JSON, and nothing else: in UTF-8, as they are, without names that would change what objects are.
 *
 * @param type the media type to read so.
 * @param received given each body, before it is read.
 */
export function readJson(
  app: FastifyInstance,
  type: string,
  received: (request: FastifyRequest, bytes: Buffer) => void,
): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser(type, { parseAs: "buffer" }, (request, bytes: Buffer, done) => {
    received(request, bytes);
    const wrong = wrongWith(request, bytes);
    if (wrong) done(wrong);
    else parse(request, bytes.toString(), (error, body) => done(error && notJson(), body));
  });
}

function wrongWith({ headers }: FastifyRequest, bytes: Buffer): HttpProblem | undefined {
  const encoding = headers["content-encoding"] ?? "identity";
  if (encoding.toLowerCase() !== "identity") {
    const how = "Content-Encoding: expected a body that is not compressed";
    return new HttpProblem(415, how, { "accept-encoding": "identity" });
  }
  const [, charset = "utf-8"] = /charset="?([^";\s]*)/i.exec(headers["content-type"] ?? "") ?? [];
  if (!/^(utf-8|utf8|us-ascii)$/i.test(charset)) return new HttpProblem(415, "Content-Type: expected UTF-8");
  return isUtf8(bytes) ? undefined : new HttpProblem(400, "the body is not UTF-8");
}

function notJson(): HttpProblem {
  return new HttpProblem(400, "the body: expected JSON, and no name such as __proto__ in it");
}

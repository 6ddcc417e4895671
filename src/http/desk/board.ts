import { createBullBoard } from "@bull-board/api";
import { FastifyAdapter } from "@bull-board/fastify";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Access } from "./access.ts";

export interface Board {
  /** As bull-board takes them; each says itself that it is to look at alone. */
  queues: Parameters<typeof createBullBoard>[0]["queues"];
}

/**
 * Serves the queue's own view, bull-board, below /desk/bull/: to operators, who may look at every job there. Who opens it
 * in a browser without being signed in is sent to the desk, which sends them back.
 */
export async function serveBoard(app: FastifyInstance, access: Access, { queues }: Board): Promise<void> {
  const serverAdapter = new FastifyAdapter();
  createBullBoard({
    queues: [...queues],
    serverAdapter,
    options: { uiConfig: { boardTitle: "maitred", hideRedisDetails: true } },
  });
  serverAdapter.setBasePath(PATH);
  // what is refused or fails is answered as everywhere
  serverAdapter.setErrorHandler((error) => {
    throw error;
  });
  app.addHook("onRequest", async (request, reply) => {
    if (isOpened(request) && !(await access.session(request)))
      return reply.redirect(`/desk/?to=${encodeURIComponent(request.url)}`, 302);
    await access.require(request, "operator");
    reply.header("content-security-policy", BOARD_POLICY);
  });
  await app.register(serverAdapter.registerPlugin(), { prefix: PATH });
}

/** By a person, who is no reader of JSON; scripts ask for that. */
function isOpened({ headers }: FastifyRequest): boolean {
  return headers.accept?.includes("text/html") ?? false;
}

const PATH = "/desk/bull";

/**
 * Looser than the page's own, and for this page alone: bull-board writes a style into its HTML and sets styles as it draws,
 * and has its addresses relative to a `base`. It would fetch a font from elsewhere, which stays forbidden.
 */
const BOARD_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'self'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

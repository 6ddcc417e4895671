import { readFile, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import type { FastifyInstance } from "fastify";
import { HttpProblem } from "../problem.ts";

/**
 * Serves the built page below /desk/, to which browsers that ask for / are led: its files as they are, kept by browsers for
 * ever where their name tells what is in them, and index.html for every other address, which is one within the page.
 */
export function servePage(app: FastifyInstance, folder: string): void {
  const read = keptFiles(folder);
  app.get("/", async (request, reply) => {
    if (!request.headers.accept?.includes("text/html")) return reply.callNotFound();
    return reply.redirect("/desk/");
  });
  app.get("/desk", async (_request, reply) => reply.redirect("/desk/", 308));
  app.get("/desk/*", async (request, reply) => {
    const path = (request.params as { "*": string })["*"];
    if (path.startsWith("api/")) throw new HttpProblem(404, "there is nothing at this address of the desk");
    const file = /^(assets\/)?[\w-][\w.-]*$/.test(path) ? await read(path) : undefined;
    if (path.startsWith("assets/")) {
      if (!file) throw new HttpProblem(404, "there is no such file of the desk");
      reply.header("cache-control", "public, max-age=31536000, immutable");
      return reply.type(typeOf(path)).send(file);
    }
    const page = file ?? (await read("index.html"));
    if (!page) {
      throw new HttpProblem(503, `the desk is not built: run npm run build, which makes ${folder}`);
    }
    reply.header("cache-control", "no-cache").header("content-security-policy", PAGE_POLICY);
    return reply.type(typeOf(file ? path : "index.html")).send(page);
  });
}

/**
 * The files of a folder, from memory while they stay as they are: a build may come while the process runs. Never as streams:
 * one whose answer waits for its turn is closed by nobody when the connection goes.
 */
function keptFiles(folder: string): (path: string) => Promise<Buffer | undefined> {
  const kept = new Map<string, { mtimeMs: number; bytes: Buffer }>();
  return async (path) => {
    const file = join(folder, path);
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) return undefined;
    const { mtimeMs } = found;
    const known = kept.get(path);
    if (known?.mtimeMs === mtimeMs) return known.bytes;
    const bytes = await readFile(file);
    kept.set(path, { mtimeMs, bytes });
    return bytes;
  };
}

/** Of the files that a build makes. */
function typeOf(path: string): string {
  return TYPES[extname(path)] ?? "application/octet-stream";
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Nothing of others, nothing inline, and no page of others around it. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

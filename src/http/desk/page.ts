import { existsSync } from "node:fs";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";
import { HttpProblem } from "../problem.ts";

/**
 * Serves the built page below /desk/: its files as they are, kept by browsers for ever where their name tells what is in
 * them, and index.html for every other address, which is one within the page.
 */
export function servePage(app: FastifyInstance, folder: string): void {
  app.register(fastifyStatic, {
    root: folder,
    serve: false,
    index: false,
    dotfiles: "deny",
    cacheControl: false,
  });
  app.get("/desk", async (_request, reply) => reply.redirect("/desk/", 308));
  app.get("/desk/*", async (request, reply) => {
    const path = (request.params as { "*": string })["*"];
    if (path.startsWith("api/")) throw new HttpProblem(404, "there is nothing at this address of the desk");
    if (path.startsWith("assets/")) {
      // set once the file is found: nobody is to remember for a year that it is missing
      return reply.sendFile(path, folder, { cacheControl: true, maxAge: "1y", immutable: true });
    }
    // a build may come while the process runs
    if (!existsSync(join(folder, "index.html"))) {
      throw new HttpProblem(503, `the desk is not built: run npm run build, which makes ${folder}`);
    }
    reply.header("cache-control", "no-cache").header("content-security-policy", PAGE_POLICY);
    const isFile = /^[\w-]+\.\w+$/.test(path) && existsSync(join(folder, path));
    return reply.sendFile(isFile ? path : "index.html", folder);
  });
}

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

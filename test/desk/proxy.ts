import { once } from "node:events";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Proxy {
  url: string;
  /** The paths of what it passed on, without what the browser was told that it has already. */
  passed: readonly string[];
  /** The paths that it answered with 502, because the server behind it was away. */
  refused: readonly string[];
  close(): Promise<void>;
}

/**
 * A proxy in front of a server, as many put one.
 *
 * @param buffers it passes an answer on once it has all of it, also one that is streamed.
 */
export async function startProxy(to: string, { buffers = false } = {}): Promise<Proxy> {
  const [passedOn, refused]: [string[], string[]] = [[], []];
  const server = createServer((asked, answer) => {
    const { method, url = "/", headers } = asked;
    const passed = request(new URL(url, to), { method, headers }, (got) => {
      if (got.statusCode !== NOT_MODIFIED) passedOn.push(url);
      const pass = (): ServerResponse => answer.writeHead(got.statusCode!, got.headers);
      if (!buffers) return void got.pipe(pass());
      const chunks: Buffer[] = [];
      got.on("data", (chunk: Buffer) => chunks.push(chunk));
      got.on("end", () => pass().end(Buffer.concat(chunks)));
    });
    passed.on("error", () => {
      refused.push(url);
      if (!answer.headersSent) answer.writeHead(502);
      answer.end();
    });
    answer.on("close", () => passed.destroy());
    asked.pipe(passed);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passed: passedOn,
    refused,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const NOT_MODIFIED = 304;

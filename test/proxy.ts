import { createServer, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

/** Passes requests on as they are, after `before`; `answered` may change what is answered. */
export async function startProxy(
  target: string,
  before: (request: { method?: string | undefined; url?: string | undefined }) => Promise<void>,
  answered: (headers: IncomingHttpHeaders) => void = () => {},
): Promise<{ url: string; close(): Promise<void> }> {
  const proxy = createServer(async (incoming, outgoing) => {
    await before(incoming);
    const { method, headers } = incoming;
    const options = { method, headers, path: incoming.url };
    const sent = httpRequest(target, options, (answer) => {
      answered(answer.headers);
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(sent);
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    close: () => new Promise((resolve) => proxy.close(() => resolve())),
  };
}

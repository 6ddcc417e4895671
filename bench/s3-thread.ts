/** Thread: an S3 server over TLS that answers every key with the same bytes, away from the main thread, which is measured. */
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { generate } from "selfsigned";

const { private: key, cert } = await generate([{ name: "commonName", value: "localhost" }]);
const bytes = Buffer.from(workerData as Uint8Array);
const server = createServer({ key, cert }, (_request, response) => {
  response.writeHead(200, { "content-length": bytes.length, etag: '"same"' }).end(bytes);
});
server.listen(0, "127.0.0.1", () => parentPort!.postMessage((server.address() as AddressInfo).port));

import { createServer, connect as dial, type Socket } from "node:net";

/** Between clients and Postgres; while it is silent, nothing that Postgres says arrives, and no connection ends. */
export async function quietable(url: string) {
  const { hostname, port } = new URL(url);
  const state = { silent: false };
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const postgres = dial(Number(port || 5432), hostname);
    for (const socket of [client, postgres]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => sockets.delete(socket));
    }
    client.pipe(postgres);
    postgres.on("data", (bytes) => void (state.silent || client.write(bytes)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const through = new URL(url);
  through.hostname = "127.0.0.1";
  through.port = String((server.address() as { port: number }).port);
  return {
    state,
    url: through.href,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Provider from "oidc-provider";

export interface TestProvider {
  issuer: string;
  close(): Promise<void>;
}

/** A person at the provider. */
export interface Account {
  email?: string;
  /** Whether the provider has checked the address; it says nothing of it unless given. Some say it as text. */
  verified?: boolean | "true" | "false";
  groups?: string[];
}

/**
 * A real OpenID Connect provider on this machine, at which whoever comes is signed in as `account` says, without being
 * asked. It insists on PKCE.
 *
 * @param host by which it is known: "localhost" is another site than 127.0.0.1.
 */
export async function startProvider(
  client: { id: string; secret: string; redirect: string },
  account: { id: string } & Account,
  host = "127.0.0.1",
): Promise<TestProvider> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://${host}:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        redirect_uris: [client.redirect],
        grant_types: ["authorization_code"],
      },
    ],
    cookies: { keys: ["test"] },
    claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
    scopes: ["openid", "email", "groups"],
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, { uid }) => `/interaction/${uid}` },
    findAccount: (_ctx, accountId) => ({
      accountId,
      claims: () => ({
        sub: accountId,
        email: account.email,
        email_verified: account.verified,
        groups: account.groups,
      }),
    }),
  });
  provider.use(async (ctx, next) => {
    if (!ctx.path.startsWith("/interaction/")) return next();
    const { prompt, params, session } = await provider.interactionDetails(ctx.req, ctx.res);
    if (prompt.name === "login") {
      return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: account.id } });
    }
    const grant = new provider.Grant({ accountId: session!.accountId, clientId: client.id });
    grant.addOIDCScope(String(params["scope"]));
    const consent = { grantId: await grant.save() };
    return provider.interactionFinished(ctx.req, ctx.res, { consent }, { mergeWithLastSubmission: true });
  });
  server.on("request", provider.callback());
  return {
    issuer,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Follows an address as a browser does, with its cookies; answers where it ended and what it was told there. */
export class Browser {
  readonly cookies = new Map<string, Map<string, string>>();
  /** Addresses that it was sent to, in order. */
  visited: string[] = [];

  /** @param until stops before this address is asked for. */
  async follow(address: string, until: (url: URL) => boolean = () => false): Promise<URL> {
    let url = new URL(address);
    this.visited = [url.href];
    for (let steps = 0; steps < 20; steps++) {
      const response = await this.get(url);
      const location = response.headers.get("location");
      if (location === null) return url;
      url = new URL(location, url);
      this.visited.push(url.href);
      if (until(url)) return url;
    }
    throw new Error(`sent on and on: ${this.visited.join(" ")}`);
  }

  async get(url: URL): Promise<Response> {
    const jar = this.cookies.get(url.host) ?? new Map<string, string>();
    this.cookies.set(url.host, jar);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: cookie ? { cookie } : {} });
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
      if (value === "") jar.delete(name!);
      else jar.set(name!, value!);
    }
    await response.arrayBuffer();
    return response;
  }

  cookieOf(host: string, name: string): string {
    return `${name}=${this.cookies.get(host)?.get(name) ?? ""}`;
  }
}

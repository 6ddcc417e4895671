import * as client from "openid-client";
import { asError, ConfigError, UpstreamError } from "../../errors.ts";
import { isName } from "../../text.ts";
import type { Identity } from "./access.ts";
import { ROLES, type Role } from "./schemas.ts";

interface OidcSettings {
  oidcIssuer: string;
  oidcClientId: string;
  oidcClientSecret: string;
  oidcScopes: string;
  /** The claim that history calls people by. */
  oidcName: string;
  /** Such as groups=photo-moderators:moderator, or *:viewer. */
  oidcRoles: readonly string[];
  deskUrl: string;
}

/** What the browser keeps while its person is at the provider; nobody else may see it. */
export interface PendingSignIn {
  state: string;
  nonce: string;
  verifier: string;
  /** Where at the desk to go afterwards. */
  to: string;
}

export interface Oidc {
  /** Where to send the browser. @throws {UpstreamError} SENDER_UNAVAILABLE where the provider does not answer. */
  begin(to: string): Promise<{ url: URL; pending: PendingSignIn }>;
  /**
   * Whom the provider sent back; or why it is nobody: `no-role` here, or `unverified`, where the address that names them, or
   * gives them a role, is one that the provider has not checked.
   *
   * @param query of the address that it sent the browser to, with the question mark.
   * @throws {Error} where the answer is not of this sign-in, or the provider refused.
   */
  finish(query: string, pending: PendingSignIn): Promise<Identity | "no-role" | "unverified">;
}

/**
 * Signs people in at an OpenID Connect provider: authorization code, with PKCE, state and nonce. The provider is asked
 * what it can do when the first person comes, so that the API starts while the provider is away.
 *
 * @returns undefined where none is configured.
 * @throws {ConfigError} where settings do not fit together.
 */
export function createOidc(settings: OidcSettings): Oidc | undefined {
  if (settings.oidcIssuer === "") return undefined;
  const issuer = checked(settings);
  const redirect = new URL("/desk/api/oidc/callback", settings.deskUrl);
  let found: Promise<client.Configuration> | undefined;

  function provider(): Promise<client.Configuration> {
    // plain http is for a provider on this machine, where nobody listens in; `checked` refuses any other
    const execute = issuer.protocol === "http:" ? [client.allowInsecureRequests] : [];
    const { oidcClientId, oidcClientSecret } = settings;
    found ??= client
      .discovery(issuer, oidcClientId, oidcClientSecret || undefined, undefined, { execute })
      .catch((cause) => {
        found = undefined;
        const why = `${settings.oidcIssuer}: ${asError(cause).message} (MAITRED_OIDC_ISSUER)`;
        throw new UpstreamError("SENDER_UNAVAILABLE", why, { cause });
      });
    return found;
  }

  return {
    async begin(to) {
      const config = await provider();
      const verifier = client.randomPKCECodeVerifier();
      const pending = { state: client.randomState(), nonce: client.randomNonce(), verifier, to };
      const url = client.buildAuthorizationUrl(config, {
        redirect_uri: redirect.href,
        scope: settings.oidcScopes,
        code_challenge: await client.calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256",
        state: pending.state,
        nonce: pending.nonce,
      });
      return { url, pending };
    },
    async finish(query, { state, nonce, verifier }) {
      const config = await provider();
      const tokens = await client.authorizationCodeGrant(config, new URL(query, redirect), {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      });
      const { sub, ...inToken } = tokens.claims()!;
      // many providers put groups there alone
      const asked = config.serverMetadata().userinfo_endpoint
        ? await client.fetchUserInfo(config, tokens.access_token, sub)
        : {};
      const claims: Record<string, unknown> = { ...inToken, ...asked, sub };
      const byAddress =
        settings.oidcName === "email" || settings.oidcRoles.some((rule) => /^email=/.test(rule));
      // some providers write it as text
      if (byAddress && claims["email"] !== undefined && /^false$/i.test(String(claims["email_verified"])))
        return "unverified";
      const roles = rolesOf(claims, settings.oidcRoles);
      if (roles.length === 0) return "no-role";
      const name = claims[settings.oidcName];
      // another provider may call somebody else by the same subject; an issuer has no "#"
      const subject = `oidc:${inToken.iss}#${sub}`;
      return { subject, name: typeof name === "string" && isName(name) ? name : sub, roles };
    },
  };
}

/** The roles that claims give: a rule CLAIM=VALUE:ROLE where the claim is the value, or a list with it; `*:ROLE` to all. */
export function rolesOf(claims: Readonly<Record<string, unknown>>, rules: readonly string[]): Role[] {
  const given = rules.flatMap((rule) => {
    const [, what = "", role] = /^(.+):(\w+)$/.exec(rule) ?? [];
    if (what === "*") return role;
    const [claim = "", ...rest] = what.split("=");
    const said = [claims[claim]].flat().filter((each) => /string|number|boolean/.test(typeof each));
    return said.map(String).includes(rest.join("=")) ? role : [];
  });
  return ROLES.filter((role) => given.includes(role));
}

function checked({ oidcIssuer, oidcClientId, oidcRoles, deskUrl }: OidcSettings): URL {
  const wrong: string[] = [];
  if (oidcClientId === "") wrong.push("MAITRED_OIDC_CLIENT_ID: expected the client's id at the provider");
  if (deskUrl === "")
    wrong.push("MAITRED_DESK_URL: expected where browsers reach the desk, for the provider");
  if (oidcRoles.length === 0) {
    wrong.push("MAITRED_OIDC_ROLES: expected who has which role, such as groups=photo-moderators:moderator");
  }
  const issuer = URL.canParse(oidcIssuer) ? new URL(oidcIssuer) : undefined;
  const near = issuer !== undefined && /^(localhost|127\.[\d.]+|\[::1\])$/.test(issuer.hostname);
  if (!issuer || !(issuer.protocol === "https:" || (issuer.protocol === "http:" && near))) {
    wrong.push(`MAITRED_OIDC_ISSUER: expected an https:// URL, got ${JSON.stringify(oidcIssuer)}`);
  }
  if (wrong.length > 0) throw new ConfigError(wrong.join("\n"));
  return issuer!;
}

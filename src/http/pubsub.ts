import { createRemoteJWKSet, errors, type JWTPayload, jwtVerify } from "jose";
import { asError, ConfigError, UpstreamError } from "../errors.ts";
import { HttpProblem } from "./problem.ts";

interface PubSubRules {
  /** What the push subscription was told to ask its tokens for; "": no such token is taken. */
  audience: string;
  /** Email of the service account that the subscription pushes as. */
  account: string;
}

/** Where Google publishes the keys that it signs OIDC tokens with. */
export const GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v3/certs";

/**
 * Verifies the OIDC tokens that a push subscription of Pub/Sub sends, and answers with the account's email. Google's keys
 * are fetched when they are first needed, and kept for ten minutes.
 *
 * @throws {ConfigError} where an audience is named and no account: Google gives anybody's account a token for
 *   any audience.
 * @throws (each call) {HttpProblem} 401 where the token is not valid, 403 where it is another's; {UpstreamError}
 *   SENDER_UNAVAILABLE where the keys cannot be had.
 */
export function createPubSubVerifier(
  { audience, account }: PubSubRules,
  keysUrl: string,
): (jwt: string) => Promise<string> {
  if (audience !== "" && account === "") {
    const how = "gcloud pubsub subscriptions describe shows it as pushConfig.oidcToken.serviceAccountEmail";
    throw new ConfigError(
      `MAITRED_GCS_ACCOUNT: expected the email of the account that Pub/Sub pushes as, since MAITRED_GCS_AUDIENCE is set: ${how}`,
    );
  }
  const keys = createRemoteJWKSet(new URL(keysUrl), { timeoutDuration: 5_000 });
  return async (jwt) => {
    if (audience === "") throw refused(401, "an OIDC token is taken only where MAITRED_GCS_AUDIENCE is set");
    const { email, email_verified: verified } = await claimsOf(jwt);
    if (typeof email !== "string" || verified !== true) {
      throw refused(403, "the OIDC token names no email that Google verified");
    }
    if (email !== account) {
      throw refused(403, `the OIDC token is of ${email}, which is not MAITRED_GCS_ACCOUNT`);
    }
    return email;
  };

  async function claimsOf(jwt: string): Promise<JWTPayload> {
    const rules = {
      issuer: ["https://accounts.google.com", "accounts.google.com"],
      audience,
      algorithms: ["RS256"],
      requiredClaims: ["exp"],
      clockTolerance: CLOCK_S,
    };
    try {
      return (await jwtVerify(jwt, keys, rules)).payload;
    } catch (thrown) {
      const error = asError(thrown);
      // of these the token is at fault; of everything else, the way to the keys
      if (TOKEN_FAULTS.some((kind) => error instanceof kind)) {
        throw refused(401, `the OIDC token is not valid: ${error.message}`);
      }
      throw new UpstreamError("SENDER_UNAVAILABLE", `the keys of Google: ${error.message}`, {
        cause: thrown,
      });
    }
  }
}

function refused(status: 401 | 403, detail: string): HttpProblem {
  return new HttpProblem(status, detail, status === 401 ? { "www-authenticate": "Bearer" } : {});
}

const TOKEN_FAULTS = [
  errors.JWTExpired,
  errors.JWTClaimValidationFailed,
  errors.JWTInvalid,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
  errors.JWKSNoMatchingKey,
  errors.JWKSMultipleMatchingKeys,
];
/** How far the clocks of Google and of this machine may be apart. */
const CLOCK_S = 30;

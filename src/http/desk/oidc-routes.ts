import type { FastifyInstance, FastifyRequest } from "fastify";
import { UpstreamError } from "../../errors.ts";
import { createLimits } from "../limits.ts";
import { HttpProblem } from "../problem.ts";
import { type Access, type AccessSettings, cookieName, isSecure } from "./access.ts";
import type { Oidc, PendingSignIn } from "./oidc.ts";

/** Sends browsers to the provider and takes them in again. What goes wrong there ends at the sign-in page, by a code. */
export function serveOidc(
  app: FastifyInstance,
  oidc: Oidc | undefined,
  { settings, access, failed }: { settings: AccessSettings; access: Access; failed(error: unknown): void },
): void {
  const cookieOf = (request: FastifyRequest): string => cookieName(settings, request, "maitred-oidc");
  const answers = createLimits({ rateLimit: settings.authLimit, authLimit: 0 });

  app.get("/desk/api/oidc/start", async (request, reply) => {
    if (!oidc) throw new HttpProblem(404, "no provider is configured: see MAITRED_OIDC_ISSUER");
    const begun = await oidc.begin(destinationOf(request.query)).catch((thrown: unknown) => {
      if (!(thrown instanceof UpstreamError)) throw thrown;
      failed(thrown);
    });
    // a person looks at this, who is no reader of JSON
    if (!begun) return reply.redirect("/desk/?problem=oidc-away", 302);
    const { url, pending } = begun;
    // now: the browser does not send its cookie along when the provider sends it back
    await access.end(request);
    const secure = isSecure(settings, request);
    reply.setCookie(cookieOf(request), Buffer.from(JSON.stringify(pending)).toString("base64url"), {
      httpOnly: true,
      // the provider sends the browser back from another site
      sameSite: "lax",
      secure,
      path: secure ? "/" : "/desk",
      maxAge: PENDING_S,
    });
    return reply.redirect(url.href, 302);
  });

  app.get("/desk/api/oidc/callback", async (request, reply) => {
    if (!oidc) throw new HttpProblem(404, "no provider is configured: see MAITRED_OIDC_ISSUER");
    const pending = pendingOf(request.cookies[cookieOf(request)]);
    const secure = isSecure(settings, request);
    reply.clearCookie(cookieOf(request), { secure, path: secure ? "/" : "/desk" });
    if (!pending) return reply.redirect("/desk/?problem=oidc-expired", 302);
    // anybody can write the cookie, and each answer has the provider asked, with the client's secret
    const heard = await answers.consumeAddress(request.ip).catch(() => "limited");
    if (heard === "limited") return reply.redirect("/desk/?problem=oidc-often", 302);
    try {
      const who = await oidc.finish(request.url.slice(request.url.indexOf("?")), pending);
      if (who === "no-role" || who === "unverified") return reply.redirect(`/desk/?problem=oidc-${who}`, 302);
      await access.start(request, reply, who);
    } catch (thrown) {
      failed(thrown);
      return reply.redirect("/desk/?problem=oidc-failed", 302);
    }
    return reply.redirect(pending.to, 302);
  });
}

/** Only a page of the desk: nobody's link may make this server send people elsewhere. */
function destinationOf(query: unknown): string {
  const { to } = query as { to?: unknown };
  return typeof to === "string" && /^\/desk\/[\w./?=&%~-]*$/.test(to) ? to : "/desk/";
}

function pendingOf(cookie: string | undefined): PendingSignIn | undefined {
  try {
    const { state, nonce, verifier, to } = JSON.parse(Buffer.from(cookie ?? "", "base64url").toString());
    if (![state, nonce, verifier].every((each) => typeof each === "string" && each !== "")) return undefined;
    return { state, nonce, verifier, to: destinationOf({ to }) };
  } catch {
    return undefined;
  }
}

const PENDING_S = 600;

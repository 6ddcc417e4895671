import { z } from "zod";
import type { Proof } from "./callers.ts";
import { PROBLEM_TYPE, problem } from "./problem.ts";
import type { Route } from "./route.ts";

/** The OpenAPI 3.1 document of these routes, from the schemas that check what comes in. */
export function openApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    const url = route.url.replaceAll(/:(\w+)/g, "{$1}");
    paths[url] = { ...paths[url], [route.method.toLowerCase()]: operation(route) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "maitred",
      version,
      description: "Tells maitred of photos, and what became of them.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    paths,
    components: { securitySchemes: SCHEMES },
  };
}

function operation(route: Route): object {
  const answers = { ...route.answers, ...(route.body && OF_BODIES), ...OF_ALL };
  const proofs = route.proofs ?? ["token"];
  return {
    operationId: route.name,
    summary: route.summary,
    description: `Needs ${proofs.map((proof) => NEEDS[proof](route.scope)).join(", or ")}.`,
    // an empty one says that a caller may come without
    security: proofs.map((proof) => (proof === "signature" ? {} : { [proof]: [] })),
    parameters: [
      ...parameters("header", route.headers),
      ...parameters("query", route.query),
      ...parameters("path", route.params),
      ...(route.idempotent ? [IDEMPOTENCY_KEY] : []),
    ],
    ...(route.body && {
      requestBody: {
        required: true,
        content: contentOf(route.body, route.text ?? false, route.example),
      },
    }),
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, { means, schema }]) => {
        const type = schema === problem ? PROBLEM_TYPE : "application/json";
        const content = { [type]: { schema: schemaOf(schema, "output") } };
        const headers = HEADERS[status];
        return [status, { description: means, ...(headers && { headers }), content }];
      }),
    ),
  };
}

/** JSON; and where it may call itself text, the same as text that holds it. */
function contentOf(body: z.ZodType, text: boolean, example: unknown): object {
  const schema = schemaOf(body, "input");
  const within = { type: "string", contentMediaType: "application/json", contentSchema: schema };
  const json = { schema, ...(example !== undefined && { example }) };
  return { "application/json": json, ...(text && { "text/plain": { schema: within } }) };
}

function parameters(where: "query" | "path" | "header", schema: z.ZodObject | undefined): object[] {
  return Object.entries(schema?.shape ?? {}).map(([name, each]) => ({
    name,
    in: where,
    required: !(each as z.ZodType).isOptional(),
    schema: schemaOf(each as z.ZodType, "input"),
  }));
}

function schemaOf(schema: z.ZodType, io: "input" | "output"): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io });
  return rest;
}

const SCHEMES: Record<Exclude<Proof, "signature">, object> = {
  token: { type: "http", scheme: "bearer", description: "A token of maitred" },
  password: {
    type: "http",
    scheme: "basic",
    description: "Any user, and a token of maitred as the password",
  },
  oidc: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "An OIDC token of Pub/Sub" },
};
const NEEDS: Record<Proof, (scope: string) => string> = {
  token: (scope) => `a token with the scope ${scope}`,
  password: (scope) => `as the password a token with the scope ${scope}`,
  signature: () => "a message that SNS signed",
  oidc: () => "an OIDC token that Google signed for the audience of this server",
};
const OF_BODIES: Route["answers"] = {
  413: { means: "The body is too large", schema: problem },
  415: { means: "The body is not JSON", schema: problem },
};
const OF_ALL: Route["answers"] = {
  401: { means: "No token, or none that is valid", schema: problem },
  403: {
    means: "The token lacks the scope, or the message is not believed (EVENT_REFUSED)",
    schema: problem,
  },
  429: {
    means:
      "This token asks too often, too many wrong ones came, or too many uploads wait, or messages that are not understood; Retry-After says when to come again",
    schema: problem,
  },
  503: {
    means:
      "Postgres, the queue or who signed a message (SENDER_UNAVAILABLE) does not answer, or this process ends; Retry-After says when to come again",
    schema: problem,
  },
};
const RETRY_AFTER = {
  "Retry-After": { description: "Seconds", required: true, schema: { type: "integer", minimum: 1 } },
};
/** Of each status, what its answers say beside the body. */
const HEADERS: Readonly<Record<string, object>> = {
  401: { "WWW-Authenticate": { required: true, schema: { type: "string" } } },
  429: RETRY_AFTER,
  503: RETRY_AFTER,
};
const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "The same key has the same answer for a day",
  schema: { type: "string", minLength: 1, maxLength: 255, pattern: "^[!-~]+$" },
};

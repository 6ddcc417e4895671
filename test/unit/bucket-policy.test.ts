import { readFileSync } from "node:fs";
import { join } from "node:path";
import { anonymousPrincipal, runSimulation } from "@cloud-copilot/iam-simulate";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/package-root.ts";

const ACCOUNT = "123456789012";
const shipped = JSON.parse(
  readFileSync(join(packageRoot(), "deploy/bucket-policy.json"), "utf8")
    .replaceAll("BUCKET", "photos")
    .replaceAll("ACCOUNT", ACCOUNT)
    .replaceAll("MAITRED", "maitred"),
);
/** What an operator adds who shows the bucket to everybody. */
const open = {
  ...shipped,
  Statement: [
    ...shipped.Statement,
    { Effect: "Allow", Principal: "*", Action: "s3:*", Resource: "arn:aws:s3:::photos/*" },
  ],
};
const may = (action: string) => ({
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: action, Resource: "*" }],
});

/** Who asks, and the ARN that AWS knows them by: of a session its role's. Those without one have no policy of their own. */
interface Principal {
  is: string | typeof anonymousPrincipal;
  arn?: string;
}
const session = (role: string, account = ACCOUNT): Principal => ({
  is: `arn:aws:sts::${account}:assumed-role/${role}/i-0abc`,
  arn: `arn:aws:iam::${account}:role/${role}`,
});
const user = (arn: string): Principal => ({ is: arn, arn });
const maitred = session("maitred");
const administrator = user(`arn:aws:iam::${ACCOUNT}:user/administrator`);
const others: [string, Principal][] = [
  ["nobody in particular", { is: anonymousPrincipal }],
  ["CloudFront", { is: "cloudfront.amazonaws.com" }],
  ["a user of the account who may do everything", administrator],
  ["the account itself", user(`arn:aws:iam::${ACCOUNT}:root`)],
  ["a role of a name that begins alike", session("maitred-uploads")],
  ["a role of the same name in another account", session("maitred", "999999999999")],
];

/** What S3 would answer, of an object that has this tag. */
async function asks(
  { is, arn }: Principal,
  action: string,
  tag: string | null,
  policy = open,
): Promise<string> {
  const simulated = await runSimulation(
    {
      request: {
        principal: is,
        action,
        resource: { resource: "arn:aws:s3:::photos/42/dinner.jpg", accountId: ACCOUNT },
        contextVariables: {
          ...(arn && { "aws:PrincipalArn": arn }),
          ...(tag !== null && { "s3:ExistingObjectTag/maitred-verdict": tag }),
        },
      },
      identityPolicies: arn ? [{ name: "everything", policy: may("*") }] : [],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      resourcePolicy: policy,
    },
    {},
  );
  if (simulated.resultType === "error") throw new Error(JSON.stringify(simulated.errors));
  return simulated.overallResult;
}

const READS = ["s3:GetObject", "s3:GetObjectVersion"];
const TAGS = [
  "s3:PutObjectTagging",
  "s3:PutObjectVersionTagging",
  "s3:DeleteObjectTagging",
  "s3:DeleteObjectVersionTagging",
];
const HIDDEN = ["hidden", "review", "failed", "withdrawn", "Shown", "", null];

describe.each(others)("the bucket policy, to %s,", (_, principal) => {
  test.each(READS)("allows %s of what is shown, and refuses it of anything else", async (action) => {
    expect(await asks(principal, action, "shown")).toBe("Allowed");
    for (const tag of HIDDEN)
      expect([tag, await asks(principal, action, tag)]).toEqual([tag, "ExplicitlyDenied"]);
  });

  // replication brings the tags that somebody else's bucket says
  test.each([...TAGS, "s3:ReplicateTags"])("refuses %s", async (action) => {
    for (const tag of ["shown", ...HIDDEN])
      expect(await asks(principal, action, tag)).toBe("ExplicitlyDenied");
  });
});

test("the bucket policy leaves maitred's own role to read and tag everything", async () => {
  for (const action of [...READS, ...TAGS]) {
    for (const tag of ["shown", ...HIDDEN]) expect(await asks(maitred, action, tag)).toBe("Allowed");
  }
});

test("the bucket policy allows nothing by itself, and lets others upload", async () => {
  expect(await asks({ is: anonymousPrincipal }, "s3:GetObject", "shown", shipped)).toBe("ImplicitlyDenied");
  expect(await asks(administrator, "s3:PutObject", null, shipped)).toBe("Allowed");
});

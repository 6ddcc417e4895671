import { choice, int, list, origin, secret, text, webUrl } from "../setting.ts";

export const desk = {
  deskUrl: origin(
    "MAITRED_DESK_URL",
    "where browsers reach the desk, as https://photos.example.com; empty: as they ask",
  ),
  deskSessionS: int(
    "MAITRED_DESK_SESSION_S",
    43_200,
    60,
    2_592_000,
    "seconds after which people sign in anew",
  ),
  deskIdleS: int("MAITRED_DESK_IDLE_S", 7_200, 60, 2_592_000, "the same where they did nothing meanwhile"),
  deskBlur: choice(
    "MAITRED_DESK_BLUR",
    "on",
    ["on", "off"],
    "whether photos hidden for a human are blurred at first",
  ),
  reviewLeaseS: int(
    "MAITRED_REVIEW_LEASE_S",
    120,
    5,
    3_600,
    "seconds until the photos of a moderator whose page is gone go to another",
  ),
  auditPerMille: int(
    "MAITRED_AUDIT_PER_MILLE",
    5,
    0,
    50,
    "of a thousand shown or hidden photos, how many are audited",
  ),
  oidcIssuer: webUrl("MAITRED_OIDC_ISSUER", "OpenID Connect provider that signs people in; empty: none"),
  oidcClientId: text("MAITRED_OIDC_CLIENT_ID", "", "the desk's id there"),
  oidcClientSecret: secret(
    text("MAITRED_OIDC_CLIENT_SECRET", "", "and its secret; empty: it is a public client"),
  ),
  oidcScopes: text("MAITRED_OIDC_SCOPES", "openid email profile", "what is asked for there"),
  oidcName: text(
    "MAITRED_OIDC_NAME",
    "email",
    "claim that history calls people by; it must be one they cannot choose",
  ),
  oidcRoles: list(
    "MAITRED_OIDC_ROLES",
    /^(\*|[^=]+=.+):(viewer|moderator|operator)$/,
    "rules CLAIM=VALUE:ROLE, or *:ROLE, with commas between, that say who is viewer, moderator or operator",
  ),
} as const;

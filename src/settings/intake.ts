import { choice, int, list, networks, text, webUrl } from "../setting.ts";

export const intake = {
  host: text("MAITRED_HOST", "127.0.0.1", "address that HTTP listens on"),
  port: int("MAITRED_PORT", 7070, 0, 65_535, "port that HTTP listens on; 0: any free one"),
  apiPort: int("MAITRED_API_PORT", 7080, 0, 65_535, "port that the API listens on; 0: any free one"),
  queueLimit: int(
    "MAITRED_QUEUE_LIMIT",
    100_000,
    0,
    1_000_000_000,
    "uploads that may wait, besides those put off in an outage, before the API answers 429 and listeners pause; 0: any number",
  ),
  rateLimit: int(
    "MAITRED_RATE_LIMIT",
    120_000,
    0,
    1_000_000_000,
    "requests of one token in a minute before the API answers 429; 0: any number",
  ),
  authLimit: int(
    "MAITRED_AUTH_LIMIT",
    60,
    0,
    1_000_000_000,
    "wrong tokens from one address in a minute before the API answers 429; 0: any number",
  ),
  trustedProxies: networks(
    "MAITRED_TRUSTED_PROXIES",
    "addresses and networks in front of the API whose X-Forwarded-For is believed, separated by ','",
  ),
  sequencerPad: choice(
    "MAITRED_SEQUENCER_PAD",
    "right",
    ["right", "left"],
    "where the shorter of two S3 sequencers is padded",
  ),
  snsTopics: list(
    "MAITRED_SNS_TOPICS",
    /^arn:aws[\w-]*:sns:[\w-]+:\d{12}:[\w.-]+$/,
    "ARNs of the SNS topics that may post events, with commas between; empty: none",
  ),
  snsMaxAgeS: int(
    "MAITRED_SNS_MAX_AGE_S",
    3_600,
    60,
    604_800,
    "seconds after which a message of SNS is refused",
  ),
  gcsAudience: text(
    "MAITRED_GCS_AUDIENCE",
    "",
    "audience of the OIDC tokens that Pub/Sub pushes with; empty: none is taken",
  ),
  gcsAccount: text(
    "MAITRED_GCS_ACCOUNT",
    "",
    "email of the account that Pub/Sub pushes as; needed with the audience",
  ),
  sqsQueues: list(
    "MAITRED_SQS_QUEUES",
    /^https?:\/\/[^/@]+\/[^\s@]+$/,
    "URLs of the SQS queues to listen to, with commas between",
  ),
  sqsEndpoint: webUrl("MAITRED_SQS_ENDPOINT", "SQS-compatible server; empty: the host of each queue's URL"),
  sqsReceives: int(
    "MAITRED_SQS_RECEIVES",
    4,
    1,
    64,
    "receives of up to ten messages at once, for each queue",
  ),
  sqsVisibilityS: int(
    "MAITRED_SQS_VISIBILITY_S",
    60,
    2,
    43_200,
    "seconds until the messages of a dead listener go to another",
  ),
  removed: choice(
    "MAITRED_REMOVED",
    "keep",
    ["keep", "erase"],
    "tags and history of photos whose object was removed",
  ),
} as const;

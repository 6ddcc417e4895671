import { choice, text, webUrl } from "../setting.ts";

export const photos = {
  folders: text("MAITRED_FOLDERS", "", "folders that photos may be read from, separated by ':'"),
  keyTemplate: text("MAITRED_KEY_TEMPLATE", "", "what a key tells, such as {listing}/{name}"),
  s3Endpoint: webUrl("MAITRED_S3_ENDPOINT", "S3-compatible server; empty: AWS"),
  s3Region: text(
    "MAITRED_S3_REGION",
    "us-east-1",
    "region of the buckets, and of queues whose URL names none",
  ),
  s3PathStyle: choice(
    "MAITRED_S3_PATH_STYLE",
    "auto",
    ["auto", "on", "off"],
    "bucket in the path; auto: with an endpoint",
  ),
  logLevel: choice(
    "MAITRED_LOG_LEVEL",
    "info",
    ["debug", "info", "warn", "error", "silent"],
    "least level that is logged",
  ),
} as const;

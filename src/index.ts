/** What an application needs, in Node or at the edge: enqueue photos, read what became of them, and verify the webhooks that tell it. */
export {
  ApiError,
  type Appeal,
  type Client,
  type ClientOptions,
  createClient,
  type NewPhoto,
  type Photo,
  type Taken,
} from "./client/client.ts";
export {
  type ChangedPhoto,
  type ForgottenPhoto,
  type VerifyOptions,
  verifyWebhook,
  WebhookError,
  type WebhookMessage,
} from "./client/webhook.ts";

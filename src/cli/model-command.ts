import { type Command, flags, texts } from "./command.ts";

export const options = {
  ...texts("photos", "tolerance", "gold", "reason", "by", "from", "share", "most"),
  ...flags("force", "stop", "json"),
};

export type ModelCommand = Command<typeof options>["run"];

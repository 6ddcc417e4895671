import { ConfigError } from "../errors.ts";
import type { PhotoMetadata } from "../photo.ts";

/**
 * What a key tells of its photo, by a template such as `{listing}/{name}` or `u/{uploader}/{listing}/{name}`.
 * Each field stands for one part between slashes; {name} is anything, slashes too. A key that does not fit
 * tells nothing.
 *
 * @throws {ConfigError} for a field that is not one of these.
 */
export function createKeyTemplate(template: string): (key: string) => PhotoMetadata {
  if (template === "") return () => ({});
  const fields: string[] = [];
  const pattern = template.replace(/\{(\w*)\}|[^{]+|\{/g, (part, field: string | undefined) => {
    if (field === undefined) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    if (field === "name") return ".+";
    if (!["listing", "uploader", "claimed"].includes(field) || fields.includes(field)) {
      throw new ConfigError(
        `MAITRED_KEY_TEMPLATE: expected {listing}, {uploader}, {claimed} or {name}, each once, got {${field}}`,
      );
    }
    fields.push(field);
    return "([^/]+)";
  });
  const expression = new RegExp(`^${pattern}$`, "s");
  return (key) => {
    const found = expression.exec(key);
    if (!found) return {};
    const told = Object.fromEntries(fields.map((field, index) => [field, found[index + 1]!]));
    if (told["uploader"] !== "moderator" && told["uploader"] !== "user") delete told["uploader"];
    return told as PhotoMetadata;
  };
}

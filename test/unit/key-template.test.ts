import { expect, test } from "vitest";
import { createKeyTemplate } from "../../src/image/key-template.ts";

test.each([
  ["{listing}/{name}", "42/dinner.jpg", { listing: "42" }],
  ["{listing}/{name}", "42/2024/dinner.jpg", { listing: "42" }],
  ["{listing}/{name}", "dinner.jpg", {}],
  [
    "u/{uploader}/{listing}/{claimed}/{name}",
    "u/user/42/food/a.jpg",
    { uploader: "user", listing: "42", claimed: "food" },
  ],
  ["{uploader}/{listing}/{name}", "robot/42/a.jpg", { listing: "42" }],
  ["a.b/{listing}-{name}", "a.b/42-x", { listing: "42" }],
  ["a.b/{listing}-{name}", "aXb/42-x", {}],
  ["", "42/dinner.jpg", {}],
])("%s tells of %s", (template, key, known) => {
  expect(createKeyTemplate(template)(key)).toEqual(known);
});

test.each(["{restaurant}/{name}", "{listing}/{listing}", "{}"])("refuses %s", (template) => {
  expect(() => createKeyTemplate(template)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/setup.ts",
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // the tests of one file share two cores with the servers they talk to
    maxWorkers: 2,
  },
});

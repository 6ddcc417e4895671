import { defineConfig } from "vitest/config";

const unit = "test/unit/**/*.test.ts";

export default defineConfig({
  test: {
    projects: [
      // they share nothing that changes, so that one process reads what they import once
      { extends: true, test: { name: "unit", include: [unit], isolate: false } },
      {
        extends: true,
        test: {
          name: "real",
          include: ["test/**/*.test.ts"],
          exclude: [unit],
          globalSetup: "test/setup.ts",
        },
      },
    ],
    // fauxqs asks for none, and the SDK for some
    env: {
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true",
    },
    // of a test that hangs, not of a slow machine
    expect: { poll: { timeout: 30_000 } },
    testTimeout: 90_000,
    hookTimeout: 60_000,
    // the tests of one file share two cores with the servers they talk to
    maxWorkers: 2,
  },
});

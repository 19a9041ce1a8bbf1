import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // The first call of a program or an embedding loads libraries in the server's worker.
    testTimeout: process.env.BRIDGE_ADDRESS ? 60_000 : 10_000,
    hookTimeout: 60_000,
  },
});

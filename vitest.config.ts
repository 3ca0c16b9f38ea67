import { defineConfig } from 'vitest/config'

// Test files mirror the tree. Each file gets its own process: PGlite, nock and the sandboxes are process-wide.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/services.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})

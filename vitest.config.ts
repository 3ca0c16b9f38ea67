import { defineConfig } from 'vitest/config'

// Test files mirror the tree. Four processes (two cores, and many tests wait) take one file after the other and keep
// what is dear: loaded modules, the embedded databases and the servers of test/homes.ts. So a file leaves its process as
// it found it: what it stubs, mocks, starts or opens, it takes back. `*.long.test.ts` (the command line as
// people use it, browsers, fleets, processes that are killed) are a suite of their own, `npm run test:long`.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/services.ts'],
    pool: 'forks',
    isolate: false,
    maxWorkers: 4,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})

// A worker process for queue.test.ts: takes a step, says so on stdout, and never finishes it. It is there to be killed.
import { startQueue } from '../src/queue.ts'
import { openDatabase } from '../src/store/db.ts'

const where = JSON.parse(process.argv[2] ?? '{}')
const { pool } = await openDatabase(where)
const silent = { info() {}, warn() {} }
const never = new Promise<never>(() => {})
await startQueue({
  pool,
  ...(where.redisUrl === undefined ? {} : { redisUrl: where.redisUrl }),
  log: silent,
  lockMs: 1000,
  stalledCheckMs: 300,
  handlers: {
    step: (runId, step) => {
      process.stdout.write(`took ${runId}.${step}\n`)
      return never
    },
    next: async () => null,
    failed: async () => null,
    night: async () => null,
    missed: async () => null,
    open: async () => [],
  },
})

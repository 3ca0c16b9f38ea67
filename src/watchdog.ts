// Ends a process whose event loop stands still (a loop that never ends): nothing inside that loop could notice it. A
// thread of its own watches a heartbeat in shared memory; the supervisor starts the process again, meanwhile another
// worker takes the job over, and its run counts the start that died. As process 1 of a container it needs `--init`.
import { Worker } from 'node:worker_threads'

// Four quarters, so that a process that was only stopped for a while can beat before it is judged.
const WATCHER = `
const { workerData: { shared, ms, line } } = require('node:worker_threads')
const beat = new Int32Array(shared)
for (let missed = 0; missed < 4; )
  missed = Atomics.wait(beat, 0, Atomics.load(beat, 0), ms / 4) === 'timed-out' ? missed + 1 : 0
require('node:fs').writeSync(2, line)
process.kill(process.pid, 'SIGKILL')`

/** @returns how to stop watching */
export function watchEventLoop(ms = 60_000): () => Promise<unknown> {
  const shared = new SharedArrayBuffer(4)
  const beat = new Int32Array(shared)
  const line = `unstall: this process stood still for ${ms / 1000} s and ends itself, to be started again; its runs go on then.\n`
  const worker = new Worker(WATCHER, { eval: true, workerData: { shared, ms, line }, execArgv: [], env: {} })
  worker.unref()
  const timer = setInterval(() => {
    Atomics.add(beat, 0, 1)
    Atomics.notify(beat, 0)
  }, ms / 10).unref()
  return () => {
    clearInterval(timer)
    return worker.terminate()
  }
}

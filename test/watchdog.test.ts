// The watchdog against real processes: one that stands still is ended with a sentence, one that works, sleeps or was
// stopped for a while is left alone.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'

const WATCHDOG = join(import.meta.dirname, '../src/watchdog.ts')
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function run(body: string, during = async (_kill: (signal: NodeJS.Signals) => void) => {}) {
  const script = `import { watchEventLoop } from ${JSON.stringify(WATCHDOG)}
    const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
    const unwatch = watchEventLoop(1000)
    console.log('ready'); ${body}; await unwatch(); process.exitCode = 7`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script])
  const exit = once(child, 'exit')
  const err = text(child.stderr)
  await once(child.stdout, 'data')
  await during((signal) => void child.kill(signal))
  const [code, signal]: (number | string | null)[] = await exit
  return { code, signal, err: await err }
}

it('ends a process whose event loop stands still, and says so', async () => {
  const { signal, err } = await run('await wait(300); for (;;);')
  expect(signal).toBe('SIGKILL')
  expect(err).toContain('stood still for 1 s')
})

it('leaves a busy, an idle and a stopped process alone, and lets it end', async () => {
  const [busy, idle, stopped] = await Promise.all([
    run('for (let n = 0; n < 4; n++) { const end = Date.now() + 300; while (Date.now() < end); await wait(1) }'),
    run('await wait(1500)'),
    run('await wait(500)', async (kill) => {
      kill('SIGSTOP')
      await wait(1500)
      kill('SIGCONT')
    }),
  ])
  for (const one of [busy, idle, stopped]) expect(one).toEqual({ code: 7, signal: null, err: '' })
})

// `unstall password`: asked twice, never shown, printed as a hash that fits.
import { PassThrough } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, it, onTestFinished, vi } from 'vitest'
import { password } from '../../src/cli/password.ts'
import { isPassword } from '../../src/web/password.ts'
import { until } from '../homes.ts'

it('asks twice, shows nothing of it, prints the hash', async () => {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} })
  const output = Object.assign(new PassThrough(), { isTTY: true, columns: 100, rows: 40 })
  let screen = ''
  output.on('data', (part: Buffer) => {
    screen += part.toString()
  })
  const told = { out: '', err: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    const spy = vi.spyOn(process[name], 'write').mockImplementation((text) => {
      told[name === 'stdout' ? 'out' : 'err'] += String(text)
      return true
    })
    onTestFinished(() => spy.mockRestore())
  }
  const type = async (text: string) => {
    input.write(text)
    await delay(20)
    input.write('\r')
  }
  const ended = password({ json: false }, { input, output })
  await until(() => screen.includes('Password'))
  await type('short')
  await until(() => screen.includes('At least 12 characters'))
  await type(' but longer now')
  await until(() => screen.includes('Once more'))
  await type('something else')
  await until(() => screen.includes('not the same'))
  for (let n = 0; n < 'something else'.length; n++) input.write('\x7f')
  await type('short but longer now')
  expect(await ended).toBe(0)
  expect(await isPassword('short but longer now', told.out.trim())).toBe(true)
  expect(told.err).toContain('UNSTALL_OPERATOR')
  expect(screen + told.out + told.err).not.toMatch(/short|longer|something/)
})

it('takes no password from a file or a pipe', async () => {
  const input = new PassThrough()
  const ended = password({ json: false }, { input, output: new PassThrough() })
  await expect(ended).rejects.toThrow('asked for on a terminal')
})

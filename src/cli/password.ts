// `unstall password`: asks for one twice without showing it and prints its hash, the only form in which unstall knows it.
import * as clack from '@clack/prompts'
import { Interrupted, UsageError } from '../errors.ts'
import { hashPassword } from '../web/password.ts'
import type { Terminal } from './init.ts'
import type { GlobalOptions } from './main.ts'
import { EXIT, type ExitCode, print, printJson, say } from './output.ts'

const SHORTEST = 12

export async function password(
  { json }: Pick<GlobalOptions, 'json'>,
  terminal: Terminal = { input: process.stdin, output: process.stderr },
): Promise<ExitCode> {
  if (!terminal.input.isTTY)
    throw new UsageError('A password is asked for on a terminal, so that it stands in no file and no history.')
  const ask = async (message: string, validate: (text: string | undefined) => string | undefined) => {
    const answer = await clack.password({ ...terminal, message, validate })
    if (clack.isCancel(answer)) throw new Interrupted('stopped by hand; nothing was made')
    return answer
  }
  const first = await ask('Password', (text = '') =>
    text.length < SHORTEST ? `At least ${SHORTEST} characters.` : undefined,
  )
  await ask('Once more', (text) => (text === first ? undefined : 'This is not the same.'))
  const hash = await hashPassword(first)
  if (json) printJson({ hash })
  else print(hash)
  say('Put it into UNSTALL_OPERATOR (may act) or UNSTALL_VIEWER (may look) in the environment of "unstall start".')
  return EXIT.ok
}

// `unstall config schema`: the JSON Schema of the configuration file, so that editors complete and check it.
import { configJsonSchema } from '../config.ts'
import { EXIT, type ExitCode, printJson } from './output.ts'

export async function schema(): Promise<ExitCode> {
  printJson(configJsonSchema())
  return EXIT.ok
}

// The command line: one file per command, one way in. Results go to stdout, progress and errors to stderr,
// and the exit code is 0 (done), 1 (a problem of the run) or 2 (a usage or configuration error).
import { createRequire, findPackageJSON } from 'node:module'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { Fatal, Interrupted, RetryLater, UsageError } from '../errors.ts'
import { scrub } from '../log.ts'
import { EXIT, type ExitCode, printJson, red, say } from './output.ts'

export interface GlobalOptions {
  readonly config: string
  readonly json: boolean
}

const ROLES = ['all', 'worker', 'scheduler', 'web']

/** Every command is loaded when it is called: `--help` should not open a database. */
type Action<O extends GlobalOptions> = (options: O, ...args: string[]) => Promise<ExitCode>

/** By the nearest package.json: the published package lies one folder deeper than the source. */
const version = () => String(createRequire(import.meta.url)(findPackageJSON(import.meta.url) ?? '').version)

function instant(text: string): number {
  const at = Date.parse(text)
  if (Number.isNaN(at)) throw new InvalidArgumentError('expected an ISO date and time such as 2026-11-23T02:00:00Z.')
  return at
}

function whole(text: string): number {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 0) throw new InvalidArgumentError('expected a whole number.')
  return n
}

/** One of a few words. */
const choice = (flags: string, what: string, of: readonly string[], usual?: string) =>
  new Option(flags, what).choices(of).default(usual)

const list = (value: string, before: readonly string[] = []): string[] => [...before, value]

/** @returns the exit code; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.ok
  const program = new Command('unstall')
    .description('Finds deals that stopped moving, takes them out of the forecast, asks for a yes or a no.')
    .version(version())
    .option('-c, --config <file>', 'configuration file', 'unstall.config.yaml')
    .option('--json', 'print the result as JSON', false)
    .showSuggestionAfterError()
    .showHelpAfterError('(unstall --help lists the commands)')
    .exitOverride()
  const on = <O extends GlobalOptions>(name: string, load: () => Promise<Action<O>>, parent = program): Command => {
    const command = parent.command(name)
    return command.action(async (...args: unknown[]) => {
      const positional = args.slice(0, -2).map((arg) => (typeof arg === 'string' ? arg : ''))
      const action = await load()
      code = await action(command.optsWithGlobals<O>(), ...positional)
    })
  }

  on('demo', async () => (await import('./demo.ts')).demo)
    .description(
      'everything on this machine, no account needed: two lookalike CRMs, two weeks of nights, the dashboard',
    )
    .option('--seed <n>', 'another company', whole, 1)
    .option('--nights <n>', 'nights after the first', whole, 14)
    .option('--serve', 'serve the dashboard afterwards, until Ctrl-C (as it does in a terminal)')
    .option('--no-serve', 'end after the nights')
  on('init', async () => async (options) => (await import('./init.ts')).init(options)).description(
    'asks what it needs and writes the configuration file; again at any time, your edits stay',
  )
  on('check', async () => (await import('./check.ts')).check)
    .description('token, scopes, fields, stages: green, or what to do')
    .argument('[name]', 'connection')
  on('connect', async () => (await import('./connect.ts')).connect)
    .description('lets you allow access in your browser, where a connection signs in by OAuth')
    .argument('<name>', 'connection')
    .option('--port <n>', 'the app’s callback address is http://localhost:<port>/callback', whole, 4030)
  on('disconnect', async () => (await import('./disconnect.ts')).disconnect)
    .description('gives access back and deletes what is stored of a connection; changes nothing in the CRM')
    .argument('<name>', 'connection')
    .option('--yes', 'do not ask')
  on('setup', async () => (await import('./setup.ts')).setup)
    .description('lists, then creates the fields unstall writes and where managers see them')
    .argument('<name>', 'connection')
    .option('--apply', 'create what is missing')
    .option('--metadata <folder>', 'Salesforce: write the same as source files, to review and deploy yourself')
    .option('--remove', 'take away everything setup made, after asking')
    .option('--yes', 'with --remove: do not ask, even where deals still hold a borrowed forecast category')
  on('backtest', async () => (await import('./backtest.ts')).backtest)
    .description('replays closed deals against limits and recommends one per stage; writes nothing to the CRM')
    .argument('[name]', 'connection')
    .option('--csv <file>', 'replay this export instead')
    .option('--map <pairs>', 'names of its columns, such as "Created=engage_date,Stage=deal_stage" (repeatable)', list)
    .option('--months <n>', 'deals closed within so many months, 12 to 24', whole, 24)
    .option('--wrong-flags <percent>', 'at most so many of the won deals may be flagged', whole, 10)
    .option('--write', 'put the limits into the configuration file')
    .option('--now <time>', 'with --csv only: as of this moment', instant)
  on('plan', async () => (await import('./plan.ts')).plan)
    .description('shows exactly what tonight would write and why; writes nothing')
    .argument('[name]', 'connection')
    .option(
      '--old-deals <pairs>',
      'what deals dead before the first night get, by working days: "90=flag,260=archive,520=nothing"',
    )
    .option('--now <time>', 'judge as if it were this moment', instant)
  on('run', async () => (await import('./run.ts')).run)
    .description('one night, now')
    .argument('[name]', 'connection')
    .option('--confirm <preview>', 'confirm the first night, as previewed by `unstall plan` (repeatable)', list)
    .option('--again <deal>', 'flag a deal again that was taken back (repeatable)', list)
    .option('--now <time>', 'against a sandbox only: judge as if it were this moment', instant)
  on('runs', async () => (await import('./runs.ts')).runs)
    .description('what was done, night by night, or one run in detail')
    .argument('[run]', 'id of the run')
    .option('--limit <n>', 'how many', whole, 20)
  on('report', async () => (await import('./report.ts')).report)
    .description('a night in numbers and pictures, for managers')
    .argument('[name]', 'connection')
    .option('--run <run>', 'of an earlier run; default: the last night')
    .addOption(choice('--format <format>', 'default: by the ending of --out, else md', ['html', 'md', 'csv', 'json']))
    .option('--out <file>', 'write it to this file')
  on('digest', async () => (await import('./digest.ts')).digest)
    .description('shows the digest that managers get every week, or RevOps after a night with trouble')
    .addOption(new Option('--weekly', 'the one of managers (default)').conflicts('nightly'))
    .option('--nightly', 'the one of RevOps')
    .option('--to <recipient>', 'only of this person; default: of everybody in the configuration')
    .option('--out <file>', 'write it to this file: .html as it is sent, else as text')
    .option('--send', 'also send it, now')
  on('export', async () => (await import('./export.ts')).exportData)
    .description('everything stored of a connection, or of all, as lines of JSON; no tokens')
    .argument('[name]', 'connection')
    .option('--out <path>', 'a file, or a folder for a file per connection; default: the terminal')
  on('undo', async () => (await import('./undo.ts')).undo)
    .description('takes a whole run back, except what people changed since')
    .argument('<run>', 'id of the run')
    .option('--deal <deal>', 'only this deal of it: id, link or name (repeatable)', list)
    .option('--preview', 'shows what would be taken back and what would be left; writes nothing')
  on('explain', async () => (await import('./explain.ts')).explain)
    .description('the movement of one deal and the verdict, step by step')
    .argument('<deal>', 'id, link or name')
    .option('--now <time>', 'judge as if it were this moment', instant)
  on('sandbox', async () => (await import('./sandbox.ts')).sandbox)
    .description('only the lookalike CRMs, to point any client at')
    .option('--hubspot-port <n>', 'port, 0 for any', whole, 4010)
    .option('--salesforce-port <n>', 'port, 0 for any', whole, 4020)
    .option('--now <time>', "the lookalikes' clock starts here", instant)
    .option('--deals <n>', 'how many deals', whole, 400)
    .option('--seed <n>', 'another company', whole, 1)
    .option('--csv <file>', 'load this pipeline instead')
    .option('--latency <ms>', 'every answer takes this long', whole, 0)
    .addOption(choice('--limits <kind>', 'rate limits', ['none', 'rolling', 'bucket'], 'none'))
    .option('--search-lag <ms>', 'how far the search index lags', whole, 0)
    .option('--token-life <s>', 'seconds until a token expires', whole)
    .addOption(choice('--task-key <kind>', 'of HubSpot', ['unique', 'plain'], 'unique'))
  on('start', async () => (await import('./start.ts')).start)
    .description('the service: nightly schedule, workers and pages')
    .addOption(choice('--role <role>', 'what this process does; apart, they share DATABASE_URL', ROLES, 'all'))
    .option('--pretty', 'log lines for people instead of JSON')
  on('password', async () => async (options) => (await import('./password.ts')).password(options)).description(
    'makes the hash of a password for the pages of `unstall start`',
  )
  const key = program.command('key').description('what stored access is encrypted with')
  on('rotate', async () => (await import('./key.ts')).rotate, key).description(
    'encrypts it anew: from UNSTALL_SECRET_KEY_OLD to UNSTALL_SECRET_KEY, or with a new key file',
  )
  const config = program.command('config').description('the configuration file')
  on('schema', async () => (await import('./config.ts')).schema, config).description(
    'prints its JSON Schema, for editors',
  )

  try {
    await program.parseAsync([...argv], { from: 'user' })
    return code
  } catch (error) {
    return failed(error, argv.includes('--json'))
  }
}

function failed(error: unknown, json: boolean): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
  const known =
    error instanceof Interrupted || error instanceof UsageError || error instanceof Fatal || error instanceof RetryLater
  const message = scrub(error instanceof Error ? error.message : String(error))
  if (json) printJson({ error: { kind: error instanceof Error ? error.name : 'Error', message } })
  say(`${red('unstall:')} ${message}`)
  if (!known && error instanceof Error)
    say(`This is a defect of unstall, not of your data. ${scrub(error.stack ?? '')}`)
  if (error instanceof Interrupted) return EXIT.interrupted
  return error instanceof UsageError ? EXIT.usage : EXIT.problem
}

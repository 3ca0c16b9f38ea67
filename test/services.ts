// Which outside services this machine has, and throw-away servers of them for one process: free port, temporary
// directory, gone afterwards. Locally a missing one skips its tests, and the list is printed at the end (this file is
// also vitest's globalSetup); in CI a missing one is a failure.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { accessSync, chmodSync, chownSync, constants, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import pg from 'pg'

function find(names: readonly string[], folders: readonly string[] = []): string | null {
  const path = (process.env.PATH ?? '').split(delimiter)
  for (const folder of [...folders, ...path]) {
    for (const name of names) {
      try {
        accessSync(join(folder, name), constants.X_OK)
        return join(folder, name)
      } catch {} // not here: look on
    }
  }
  return null
}

function postgresFolders(): string[] {
  const root = '/usr/lib/postgresql' // Debian keeps the server out of PATH
  try {
    return readdirSync(root)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(root, version, 'bin'))
  } catch {
    return []
  }
}

/** Path of each program, or null. */
export const services = {
  Redis: find(['redis-server', 'valkey-server']),
  PostgreSQL: find(['initdb'], postgresFolders()),
  Chromium: find(['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']),
}
export type Service = keyof typeof services

/** In CI everything must be there: a missing service fails its tests instead of skipping them. */
export const required = Boolean(process.env.CI)

/** What is missing of these, as words, or null. */
export const missing = (needed: readonly Service[]): string | null =>
  needed.filter((name) => services[name] === null).join(' and ') || null

/** What is made once and good for many runs. */
export const CACHE = join(import.meta.dirname, '../node_modules/.cache/unstall-tests')

/** vitest's globalSetup: one temporary directory for the whole run, and in the end a word on what was not tested. */
export default function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'unstall-tests-'))
  chmodSync(directory, 0o755) // PostgreSQL runs as a user of its own
  process.env.TMPDIR = directory
  process.env.NODE_COMPILE_CACHE = join(CACHE, 'compiled') // for the processes that tests start
  return () => {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
    const all = missing(['Redis', 'PostgreSQL', 'Chromium'])
    if (all) console.log(`\nSKIPPED: every test that needs ${all}, which this machine does not have.\n`)
  }
}

export interface Server {
  readonly url: string
  /** Ends it at once, as a crash would; its data stays until `stop`. */
  kill(): Promise<void>
  /** Starts it again on the same port and data. */
  start(): Promise<void>
  stop(): Promise<void>
}

export async function startRedis(): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), 'unstall-redis-'))
  const port = await freePort()
  const program = services.Redis ?? 'redis-server'
  const options = [
    '--bind',
    '127.0.0.1',
    '--port',
    String(port),
    '--dir',
    directory,
    '--save',
    '',
    '--appendonly',
    'yes',
  ]
  return server(`redis://127.0.0.1:${port}`, port, directory, 'SIGKILL', () =>
    spawn(program, [...options, '--maxmemory-policy', 'noeviction'], { stdio: 'ignore' }),
  )
}

/** `folder`: where its data directory is made. */
export async function startPostgres(folder = tmpdir()): Promise<Server> {
  const directory = mkdtempSync(join(folder, 'unstall-postgres-'))
  const port = await freePort()
  const initdb = services.PostgreSQL ?? 'initdb'
  // PostgreSQL refuses to run as root. SIGQUIT is its shutdown without a checkpoint; SIGKILL may leave its children.
  const user = process.getuid?.() === 0 ? { uid: idOf('-u'), gid: idOf('-g') } : {}
  if (user.uid !== undefined) chownSync(directory, user.uid, user.gid)
  const options = { ...user, cwd: directory, stdio: 'ignore' } as const
  execFileSync(initdb, ['-D', directory, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '-N'], options)
  // Commits stay synchronous: they must survive `kill`, as they would in earnest.
  const set = ['fsync=off', 'full_page_writes=off', 'listen_addresses=127.0.0.1']
  const flags = [...set, 'unix_socket_directories='].flatMap((each) => ['-c', each])
  return server(`postgres://postgres@127.0.0.1:${port}/postgres`, port, directory, 'SIGQUIT', () =>
    spawn(join(initdb, '..', 'postgres'), ['-D', directory, '-p', String(port), ...flags], options),
  )
}

const idOf = (flag: '-u' | '-g') => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))

let ends = false
async function server(
  url: string,
  port: number,
  directory: string,
  crash: NodeJS.Signals,
  launch: () => ChildProcess,
): Promise<Server> {
  let child: ChildProcess | null = null
  const end = (signal: NodeJS.Signals) =>
    new Promise<void>((resolve) => {
      const ending = child
      child = null
      if (!ending || ending.exitCode !== null) return resolve()
      ending.once('exit', () => resolve())
      ending.kill(signal)
    })
  process.once('exit', () => child?.kill('SIGKILL'))
  // By SIGTERM vitest ends its workers; it gives them half a second.
  if (!ends) process.once('SIGTERM', () => process.exit(143))
  ends = true
  const self: Server = {
    url,
    kill: () => end(crash),
    async start() {
      const started = launch()
      child = started
      while (!(await answers(port, url))) {
        if (started.exitCode !== null) throw new Error(`${started.spawnfile} ended with code ${started.exitCode}`)
        await new Promise((resolve) => setTimeout(resolve, 30))
      }
    },
    async stop() {
      await end('SIGINT')
      rmSync(directory, { recursive: true, force: true })
    },
  }
  await self.start()
  return self
}

async function answers(port: number, url: string): Promise<boolean> {
  if (url.startsWith('postgres')) {
    // It opens its port before it accepts anyone.
    const client = new pg.Client(url)
    client.on('error', () => {})
    return client.connect().then(
      () => client.end().then(() => true),
      () => false,
    )
  }
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

export const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const probe = createServer().on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => (address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })

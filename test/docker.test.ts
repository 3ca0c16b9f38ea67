// The container files, as far as they can be checked without an engine: every path, command, variable, port and volume
// they name is there, and the health check tells a healthy process from a sick one.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { accessOf, ROLES } from '../src/app.ts'
import { parseConfig } from '../src/config.ts'
import { freePort } from './services.ts'

const text = (file: string) => readFileSync(file, 'utf8')
const lines = text('Dockerfile').replaceAll('\\\n', ' ').split('\n')
const instructions = lines.flatMap((line) => {
  const [, name = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
  return name ? [{ name, rest }] : []
})
const all = (name: string) => instructions.flatMap((one) => (one.name === name ? [one.rest] : []))
const only = (name: string) => all(name).at(-1) ?? ''
const json = (text: string) => z.array(z.string()).parse(JSON.parse(text.slice(text.indexOf('['))))
const variables = Object.fromEntries(
  all('ENV').flatMap((line) => line.split(/\s+/).map((pair) => pair.split('=') as [string, string])),
)

const Service = z.object({
  build: z.string().optional(),
  image: z.string().optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.coerce.string()),
  volumes: z.array(z.string()),
  ports: z.array(z.string()).optional(),
  healthcheck: z.object({ test: z.array(z.string()) }).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.literal('service_healthy') })).optional(),
  stop_grace_period: z.string().optional(),
  profiles: z.array(z.string()).optional(),
})
const compose = z
  .object({
    services: z.record(z.string(), Service.partial({ environment: true })),
    volumes: z.record(z.string(), z.null()),
  })
  .parse(parse(text('docker-compose.yml'), { merge: true }))
const ours = Object.entries(compose.services).filter(([, { build }]) => build !== undefined)

it('the Dockerfile copies what is there, builds it with a script that is there, and starts what comes out', () => {
  const ignored = text('.dockerignore').split('\n')
  for (const line of all('COPY')) {
    if (line.startsWith('--from')) continue
    for (const source of line.split(/\s+/).slice(0, -1)) {
      expect(existsSync(source), source).toBe(true)
      expect(ignored).toContain(`!${source}`)
    }
  }
  const scripts = z.record(z.string(), z.string()).parse(JSON.parse(text('package.json')).scripts)
  for (const [, script = ''] of all('RUN')
    .join(' ')
    .matchAll(/npm run (\S+)/g))
    expect(scripts).toHaveProperty(script)
  // `tsc` writes beside rootDir, the whole repository.
  const { outDir, rootDir } = JSON.parse(text('tsconfig.build.json')).compilerOptions
  expect({ build: scripts.build, outDir, rootDir }).toEqual({
    build: 'tsc -p tsconfig.build.json',
    outDir: 'dist',
    rootDir: '.',
  })
  expect(all('COPY')).toContain(`--from=build /build/${outDir} ${outDir}`)
  const program = json(only('ENTRYPOINT')).at(-1) ?? ''
  expect(existsSync(program.replace(`${outDir}/`, '').replace(/\.js$/, '.ts')), program).toBe(true)
  expect(JSON.parse(text('package.json')).bin.unstall).toBe(program)
  expect(json(only('CMD'))).toEqual(['start'])
  expect(only('EXPOSE')).toBe(variables.UNSTALL_PORT)
  expect(only('USER')).toBe('node')
})

it('the health check of the image tells a healthy process from a sick one, whatever its role', async () => {
  const [node = '', ...rest] = json(only('HEALTHCHECK'))
  expect(node).toBe('node')
  let status = 200
  const seen: (string | undefined)[] = []
  const server = createServer((request, response) => {
    seen.push(request.url)
    response.writeHead(status).end()
  })
  const port = await freePort()
  await once(server.listen(port, '127.0.0.1'), 'listening')
  const check = async () => {
    const child = spawn(process.execPath, rest, { env: { UNSTALL_PORT: String(port) }, stdio: 'ignore' })
    const [code] = await once(child, 'exit')
    return code
  }
  expect(await check()).toBe(0)
  status = 503
  expect(await check()).toBe(1)
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  expect(await check()).toBe(1)
  expect(seen).toEqual(['/healthz', '/healthz'])
})

it('docker compose: every service, volume, variable, port and role it names is there', () => {
  const example = new Set([...text('.env.example').matchAll(/^#? ?([A-Z_]+)=/gm)].map(([, name]) => name))
  for (const [, name] of text('docker-compose.yml').matchAll(/\$\{(\w+)/g)) expect(example).toContain(name)
  for (const [name, service] of Object.entries(compose.services)) {
    for (const other of Object.keys(service.depends_on ?? {}))
      expect(compose.services[other]?.healthcheck, `${name} waits for ${other}`).toBeDefined()
    for (const volume of service.volumes) {
      const [from = ''] = volume.split(':')
      if (!from.startsWith('.')) expect(compose.volumes).toHaveProperty(from)
    }
  }
  expect(ours.map(([name]) => name)).toEqual(['unstall', 'worker', 'scheduler', 'web'])
  for (const [
    name,
    { command = json(only('CMD')), environment = {}, volumes, ports = [], stop_grace_period: grace },
  ] of ours) {
    // The one file that must be made before, by the name the program looks for in the image's folder.
    expect(volumes).toContain('./unstall.config.yaml:/app/unstall.config.yaml:ro')
    expect(only('WORKDIR')).toBe('/app')
    expect(volumes).toContain(`unstall:${only('VOLUME')}`)
    const [start, flag, role = 'all'] = command
    expect([start, flag ?? '--role', Object.hasOwn(ROLES, role)]).toEqual(['start', '--role', true])
    expect(role).toBe(name === 'unstall' ? 'all' : name)
    expect(Number.parseInt(grace ?? '', 10)).toBeGreaterThan(10) // SIGTERM takes up to 9.5 s
    const published = ports.map((port) => port.split(':').at(-1))
    expect(published).toEqual(name === 'unstall' || name === 'web' ? [environment.UNSTALL_PORT] : [])
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/)
    const filled = Object.entries(environment).map(([key, value]) => [key, value.replace(/\$\{[^}]+\}/, 'secret')])
    const key = { UNSTALL_SECRET_KEY: 'x'.repeat(32), HUBSPOT_TOKEN: 'x', SF_CLIENT_ID: 'x', SF_CLIENT_SECRET: 'x' }
    const config = { file: '/app/unstall.config.yaml', now: 0, variables: { ...Object.fromEntries(filled), ...key } }
    const parsed = parseConfig(text('unstall.config.example.yaml'), config)
    // Reachable from outside: its pages need a password, which is in no file of ours.
    expect(() => accessOf(parsed)).toThrow('UNSTALL_OPERATOR')
    const read = parsed.environment
    expect(read).toMatchObject({ host: '0.0.0.0', port: Number(variables.UNSTALL_PORT) })
    const database = new URL(read.databaseUrl?.reveal() ?? '')
    const server = compose.services[database.hostname]?.environment
    expect(server).toMatchObject({ POSTGRES_USER: database.username, POSTGRES_DB: database.pathname.slice(1) })
    const queue = compose.services[new URL(read.redisUrl?.reveal() ?? '').hostname]
    expect(queue?.command?.join(' ')).toContain('--maxmemory-policy noeviction')
  }
})

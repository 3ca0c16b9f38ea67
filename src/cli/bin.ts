#!/usr/bin/env node
// The entry point of the published command. It imports nothing before it has looked at the version of Node,
// so that an older one answers with a sentence instead of a syntax error.
const needed = [22, 18] as const
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
  process.stderr.write(`unstall needs Node ${needed.join('.')} or newer; this is Node ${process.versions.node}.\n`)
  process.exit(2)
}
// The reader of a pipe has seen enough (`| head`): the result is thrown away, the work is finished properly.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
})
// Nine tenths of a grown heap are garbage, and V8 would let it grow fourfold; why a half: docs/performance.md.
const { setFlagsFromString } = await import('node:v8')
setFlagsFromString('--heap-growing-percent=50')
const { main } = await import('./main.ts')
process.exitCode = await main(process.argv.slice(2))

// Small pieces of HTTP that the kernel stands on.
import type { IncomingMessage } from 'node:http'

/** The values of `{name}` segments, decoded; null where the path is another one. */
export function matchPath(template: readonly string[], given: readonly string[]): Record<string, string> | null {
  if (template.length !== given.length) return null
  const params: Record<string, string> = {}
  for (const [index, part] of template.entries()) {
    const segment = given[index] ?? ''
    if (!part.startsWith('{')) {
      if (part !== segment) return null
    } else if (segment === '') return null
    else params[part.slice(1, -1)] = decode(segment)
  }
  return params
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment // a stray % is a name like any other: no record has it
  }
}

/** Names in lower case, repeated headers joined. */
export function plainHeaders(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  return headers
}

/** Null: longer than `limit` bytes. */
export async function readBody(request: IncomingMessage, limit: number): Promise<string | null | 'aborted'> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of request) {
      const bytes = Buffer.from(chunk)
      size += bytes.length
      if (size <= limit) chunks.push(bytes)
    }
  } catch {
    return 'aborted' // the client hung up while sending: there is nobody to answer
  }
  return size > limit ? null : Buffer.concat(chunks).toString('utf8')
}

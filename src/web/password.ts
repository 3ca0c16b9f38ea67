// Passwords of the pages: scrypt, with its parameters and the salt in the text, which has no sign that a shell, YAML or
// an .env file would take for its own.
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'

/** OWASP's for 32 MB: a quarter of a second. */
const [COST, BLOCK, PARALLEL, BYTES] = [2 ** 15, 8, 3, 32]

const derive = (password: string, salt: Buffer, length: number, options: ScryptOptions) =>
  new Promise<Buffer>((resolve, reject) => {
    const with128MB = { ...options, maxmem: 2 ** 27 }
    scrypt(password.normalize('NFKC'), salt, length, with128MB, (error, key) => (error ? reject(error) : resolve(key)))
  })

/** `scrypt.<cost>.<block size>.<parallel>.<salt>.<key>`, the last two in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16)
  const key = await derive(password, salt, BYTES, { N: COST, r: BLOCK, p: PARALLEL })
  return ['scrypt', COST, BLOCK, PARALLEL, salt.toString('base64url'), key.toString('base64url')].join('.')
}

export async function isPassword(password: string, hash: string): Promise<boolean> {
  const [, cost, block, parallel, salt = '', text = ''] = hash.split('.')
  const key = Buffer.from(text, 'base64url')
  const options = { N: Number(cost), r: Number(block), p: Number(parallel) }
  return timingSafeEqual(key, await derive(password, Buffer.from(salt, 'base64url'), key.length, options))
}

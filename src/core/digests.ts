// Who is sent what, as RevOps writes it in the configuration. Addresses with a password are handed in wrapped.
import { z } from 'zod'
import { loopback } from './text.ts'

/** Text that never prints (config.ts). */
export interface Hidden {
  readonly reveal: () => string
}

export const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const
/** The recipient that is the channel of `slack`. */
export const SLACK = 'slack'
const SLACK_HOOKS = 'https://hooks.slack.com'

const isEmail = (text: string) => z.email().safeParse(text).success
const recipient = z.string().refine((text) => text === SLACK || isEmail(text), {
  error: 'must be an e-mail address, or slack for the channel of digests.slack',
})
const names = z.array(z.string()).min(1).optional()
const Manager = z.union(
  [recipient.transform((to) => ({ to })), z.strictObject({ to: recipient, owners: names, teams: names })],
  { error: 'must be an e-mail address or slack, or { to: …, teams: […] }, or { to: …, owners: […] }' },
)
/** Without owners and teams it is about everybody's deals. */
export interface Manager {
  readonly to: string
  readonly owners?: readonly string[] | undefined
  readonly teams?: readonly string[] | undefined
}

export interface DigestSettings {
  /** `smtps://user:password@host:465`, or `smtp://…:587` with STARTTLS. */
  readonly smtp?: Hidden | undefined
  readonly from?: string | undefined
  /** An incoming webhook. */
  readonly slack?: Hidden | undefined
  readonly managers: readonly Manager[]
  /** Of the weekly digest. */
  readonly weekday: (typeof WEEKDAYS)[number]
  /** Who hears of trouble. */
  readonly operations: readonly string[]
  readonly perPersonPerWeek: number
}

/** `secret`: text that names a variable of the environment, and gives its value. */
export function digestSettings<S extends Hidden>(secret: z.ZodType<S, string>) {
  const like = (good: (url: URL) => boolean, error: string) =>
    secret.refine((text) => {
      const url = URL.parse(text.reveal())
      return url !== null && good(url)
    }, error)
  const smtp = like(
    ({ protocol, hostname, username, password }) =>
      /^smtps?:$/.test(protocol) && hostname !== '' && !/%(?![\da-f]{2})/i.test(username + password),
    'must look like smtps://user:password@smtp.acme.example (in user and password, @ is written %40 and % is %25)',
  )
  const slack = like(
    (url) => url.origin === SLACK_HOOKS || (url.protocol === 'http:' && loopback(url.hostname)),
    `must be the address of an incoming webhook: ${SLACK_HOOKS}/services/…`,
  )
  const address = '[^@\\s<>]+@[^@\\s<>]+'
  return z
    .strictObject({
      smtp: smtp.optional(),
      from: z
        .string()
        .regex(new RegExp(`^(?:${address}|[^<>\\r\\n]+ <${address}>)$`), 'is not an e-mail address')
        .optional(),
      slack: slack.optional(),
      managers: z.array(Manager).default([]),
      weekday: z.enum(WEEKDAYS).default('monday'),
      operations: z.array(recipient).default([]),
      perPersonPerWeek: z.number().int().min(1).default(2),
    })
    .superRefine(({ smtp, from, slack, managers, operations }, { addIssue }) => {
      const lists = { managers: managers.map(({ to }) => to), operations }
      for (const [key, list] of Object.entries(lists))
        for (const [at, to] of list.entries()) {
          const say = (message: string) => addIssue({ code: 'custom', path: [key, at], message })
          if (list.indexOf(to) < at) say(`names ${to} a second time`)
          if (to === SLACK && !slack) say('needs digests.slack')
          if (to !== SLACK && !(smtp && from)) say('needs digests.smtp and digests.from')
        }
    })
    .prefault({})
}

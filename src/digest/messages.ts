// What the digests say: the week of a manager, made of the report, and the troubles of a night.
import type { System } from '../core/deal.ts'
import type { Manager } from '../core/digests.ts'
import type { Texts } from '../core/explain.ts'
import { buildReport } from '../report/build.ts'
import { type Block, documentOf, type Week } from '../report/document.ts'
import { recoveredSince } from '../store/fleet.ts'
import type { Db } from '../store/schema.ts'
import { type DigestWords, digestEn } from '../texts/digest-en.ts'
import { digestFr } from '../texts/digest-fr.ts'
import { type ReportWords, reportEn } from '../texts/report-en.ts'
import { reportFr } from '../texts/report-fr.ts'
import { fill, plain } from '../texts/shared.ts'
import type { Message } from './render.ts'
import type { News, Trouble } from './trouble.ts'

const WORDS: Readonly<Record<Texts['language'], readonly [DigestWords, ReportWords]>> = {
  en: [digestEn, reportEn],
  fr: [digestFr, reportFr],
}
const WEEK_MS = 7 * 86_400_000
/** Lines of a table in a digest: it is read on a telephone. */
const MOST = 20

export interface Said {
  readonly db: Db
  readonly connections: readonly { readonly name: string; readonly system: System }[]
  readonly texts: Texts
  readonly timezone: string
  /** Address of the dashboard; null: it has none that people could open. */
  readonly dashboard: string | null
}

/** Null: no night has run yet. Reads what is stored. */
export async function weeklyMessage(
  { db, connections, texts, timezone, dashboard }: Said,
  { owners, teams }: Omit<Manager, 'to'>,
): Promise<Message | null> {
  const [words, report] = WORDS[texts.language]
  const scope = owners || teams ? { owners: owners && [...owners], teams: teams && [...teams] } : undefined
  const asked = { run: null, texts, timezone, ...(scope ? { scope } : {}) }
  const blocks: Block[] = []
  let [stalled, last] = [0, '']
  // One after the other: the deals of a whole fleet fit into no memory.
  for (const connection of connections) {
    const found = await buildReport(db, { ...asked, connections: [connection] })
    for (const { name, night, deals } of found.connections) {
      const recovered = await recoveredSince(db, name, Date.parse(night.at) - WEEK_MS)
      const week: Week = { recovered, most: MOST, cut: words.weekly.cut }
      blocks.push(...documentOf(found, texts, report, week))
      stalled += deals.filter(({ state }) => state === 'stalled').length
      if (night.date > last) last = night.date
    }
  }
  if (blocks.length === 0) return null
  const names = plain([...(teams ?? []), ...(owners ?? [])].join(', '), 200)
  const of: Block = { is: 'text', text: fill(words.weekly.of, { names }), alarm: false }
  return {
    subject: fill(words.weekly.subject, { date: texts.date(last), stalled: texts.number(stalled) }),
    language: texts.language,
    blocks: [...(scope ? [of] : []), ...blocks],
    link: dashboard === null ? null : { text: words.weekly.dashboard, href: dashboard },
  }
}

export function nightlyMessage({ texts, timezone, dashboard }: Omit<Said, 'db' | 'connections'>, news: News): Message {
  const [words] = WORDS[texts.language]
  const { nightly } = words
  const text = (text: string, alarm = false): Block => ({ is: 'text', text, alarm })

  function told({ kind, connection, values, brakes, examples }: Trouble): readonly Block[] {
    const { words: of = '', count = 0, run = '', at } = values
    const why = brakes ? brakes.map((brake) => words.brakes[brake]).join(', ') : plain(of, 400)
    const when = at === undefined ? '–' : texts.instant(at, timezone)
    const filled = { connection, words: why, count: texts.number(count), run, at: when, date: when }
    return [
      text(fill(words.troubles[kind], filled), true),
      ...(examples ?? []).map((one) => {
        const safe = { name: plain(one.name, 120), words: plain(one.words, 300) }
        return text(`• ${fill(words.example, safe)}`)
      }),
    ]
  }
  const group = (title: string, blocks: readonly Block[]): readonly Block[] =>
    blocks.length === 0 ? [] : [{ is: 'heading', level: 3, text: title }, ...blocks]
  /** `refused hub`: by its key, also when it is over. */
  const shortly = (key: string) => {
    const [kind = '', connection = ''] = key.split(' ')
    return isKind(kind, words) ? fill(words.short[kind], { connection }) : key
  }
  const { begun, changed, still, over } = news
  const first = [begun, changed, still].find((some) => some.length > 0) ?? []
  const problems = [...first.slice(0, 2).map(({ key }) => shortly(key)), ...(first.length > 2 ? ['…'] : [])].join(', ')
  const subject = first.length === 0 ? nightly.over : begun.length > 0 ? nightly.begins : nightly.goesOn
  const ended = over.map((key) => text(shortly(key)))
  const unchanged = begun.length + changed.length + over.length === 0
  return {
    subject: fill(subject, { problems }),
    language: texts.language,
    blocks: [
      ...(unchanged ? [text(nightly.reminder)] : []),
      ...group(nightly.new, begun.flatMap(told)),
      ...group(nightly.changed, changed.flatMap(told)),
      ...group(nightly.still, still.flatMap(told)),
      ...group(nightly.ended, ended),
    ],
    link: dashboard === null ? null : { text: words.weekly.dashboard, href: dashboard },
  }
}

const isKind = (kind: string, { short }: DigestWords): kind is keyof DigestWords['short'] => Object.hasOwn(short, kind)

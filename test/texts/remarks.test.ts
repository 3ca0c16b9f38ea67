// What a run stores in English about what it left alone: every such sentence has its French, and outside words stay.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the source of the jobs is read
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { FIELDS, GROUPS, UNDO_WORDS } from '../../src/report/summary.ts'
import { FRENCH, remark } from '../../src/texts/remarks.ts'

const plain = (text: string) => text.replace(/[\u00a0\u202f]/g, ' ')

test('every sentence that is stored is known, those of the jobs included', () => {
  const jobs = readFileSync('jobs/apply.ts', 'utf8')
  const written = [...jobs.matchAll(/message(?:: | = )(?:[\w.]+ \? )?'([^']+)'(?: : '([^']+)')?/g)]
  const messages = written.flatMap(([, one = '', other]) => (other === undefined ? [one] : [one, other]))
  expect(messages.length).toBeGreaterThan(10)
  const all = [...Object.values(FIELDS), ...Object.values(GROUPS), ...Object.values(UNDO_WORDS), ...messages]
  expect(all.filter((text) => !FRENCH.has(text))).toEqual([])
})

test('what opening a run refuses is known too', () => {
  const jobs = ['jobs/nightly.ts', 'jobs/undo.ts'].map((file) => readFileSync(file, 'utf8')).join('\n')
  const again = /const again = '([^']+)'/.exec(jobs)?.[1] ?? ''
  const thrown = [...jobs.matchAll(/new UsageError\(\s*`([^`]+)`/g)].flatMap(([, text = '']) =>
    text.includes('${before}')
      ? [text.replace('${before}', ''), text.replace('${before}', ': it was undone before')]
      : text,
  )
  expect(thrown.length).toBeGreaterThan(8)
  const told = thrown.map((text) => text.replace('${again}', again).replace(/\$\{[^}]+\}/g, 'hub-1'))
  expect(told.filter((text) => remark('fr', text) === text)).toEqual([])
  expect(plain(remark('fr', `Preview a.b did not finish (open). ${again}`))).toContain('n’est pas terminé (open)')
})

test('holes are filled, lists and values translated, everything else stays', () => {
  const french = (text: string) => plain(remark('fr', text))
  expect(french('we wrote true, somebody made it empty')).toBe('unstall avait écrit true, quelqu’un a mis vide')
  expect(french('changed after it was judged: stage, owner; the next night judges it anew')).toBe(
    'modifiée après avoir été jugée : étape, propriétaire ; la nuit suivante la réexamine',
  )
  expect(french('flag, completed task')).toBe('signalement, tâche terminée')
  expect(french('hub-2026-11-23-1 wrote it again and its value is there: take that run back as well')).toContain(
    'hub-2026-11-23-1 l’a écrit de nouveau',
  )
  expect(french('we wrote {found}, somebody made it <b>{wrote}</b>')).toContain(
    '{found}, quelqu’un a mis <b>{wrote}</b>',
  )
  expect(french('FIELD_CUSTOM_VALIDATION_EXCEPTION, sorry')).toBe('FIELD_CUSTOM_VALIDATION_EXCEPTION, sorry')
  expect(french('we wrote constructor, somebody made it __proto__')).toContain(
    'écrit constructor, quelqu’un a mis __proto__',
  )
  expect(remark('en', 'the task was deleted')).toBe('the task was deleted')
})

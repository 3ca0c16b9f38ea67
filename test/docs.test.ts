// The guides name our fields by the labels setup gives them, and leave none out.
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { DEAL_FIELDS, SEGMENT } from '../connectors/hubspot/fields.ts'
import { listView, OWN_FIELDS, peopleSet, permissionSet } from '../connectors/salesforce/fields.ts'

const opportunity = OWN_FIELDS.filter(({ body }) => body.fullName.startsWith('Opportunity.'))
it.each([
  ['hubspot', [...DEAL_FIELDS.map(({ label }) => label), SEGMENT.name]],
  ['salesforce', [...opportunity.map(({ body }) => body.label), listView.label, permissionSet.label, peopleSet.label]],
])('docs/%s.md', (name, labels) => {
  const page = readFileSync(`docs/${name}.md`, 'utf8')
  expect(labels.filter((label) => !page.includes(`**${label}**`))).toEqual([])
  // What looks like one of ours in a table or a step is one of ours.
  const named = [...page.matchAll(/\*\*((?:Stalled|Parked|Decision|Pipeline state)[^*]*)\*\*/g)].map(
    ([, label]) => label,
  )
  expect(named.filter((label) => !labels.includes(label ?? ''))).toEqual([])
})

it('a field has one label in both', () => {
  const labels = (all: readonly string[]) => [...all].sort()
  expect(labels(opportunity.map(({ body }) => body.label))).toEqual(labels(DEAL_FIELDS.map(({ label }) => label)))
})

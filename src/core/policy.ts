// The rules as data: what RevOps may set, with defaults. Parsed once at the edge; the core only reads it.
import { z } from 'zod'
import type { OwnerId, Reference, Stage } from './deal.ts'
import { OwnTexts } from './templates.ts'

const days = z.number().int().min(0)
/** One each, so that the schema for editors can describe each for itself. */
const names = () => z.array(z.string()).default([])
const limits = z.strictObject({ idleDays: days.min(1).optional() })

export const Policy = z.strictObject({
  /** Working days without movement before `no_movement` fires. */
  idleDays: z.strictObject({ default: days.min(1).default(15), decisionStages: days.min(1).default(10) }).prefault({}),
  graceDays: z.strictObject({ newDeal: days.default(5), closeDate: days.default(5) }).prefault({}),
  pushes: z.number().int().min(1).default(3),
  countActivity: z.enum(['buyer', 'any']).default('buyer'),
  trustedSources: names(),
  automationUsers: names(),
  /** Stage ids in which a proposal is on the table; empty: the decision rules are off. */
  decision: z.strictObject({ stages: names(), days: days.min(1).default(10) }).prefault({}),
  pipelines: z.record(z.string(), z.strictObject({ stages: z.record(z.string(), limits).default({}) })).default({}),
  exclude: z.strictObject({ stages: names(), pipelines: names(), types: names() }).prefault({}),
  parking: z.strictObject({ maxDays: days.min(1).max(90).default(90) }).prefault({}),
})
export type Policy = z.infer<typeof Policy>

const date = z.iso.date()
/** `2026-12-24/2027-01-02`, both days included. */
export const DateRange = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}(\/\d{4}-\d{2}-\d{2})?$/, 'expected YYYY-MM-DD or YYYY-MM-DD/YYYY-MM-DD')
  .refine((text) => text.split('/').every((part) => date.safeParse(part).success), 'no such date')
  .refine((text) => text.slice(0, 10) <= text.slice(-10), 'the range ends before it begins')

const timezone = z.string().refine((zone) => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== ''
  } catch {
    return false
  }
}, 'unknown time zone: expected an IANA name such as Europe/Paris')

/** Everything a plan depends on beside the deals. Its JSON is hashed and frozen in the run row. */
export const Settings = z.strictObject({
  timezone,
  language: z.enum(['en', 'fr']).default('en'),
  texts: OwnTexts.optional(),
  /** Public holidays, already resolved to dates for the years that matter. */
  holidays: z.array(date).default([]),
  closures: z.array(DateRange).default([]),
  /** Owner e-mail (lower case) -> date ranges. */
  absences: z.record(z.string(), z.array(DateRange)).default({}),
  policy: Policy.prefault({}),
  forecast: z.enum(['omit', 'amount', 'none']).default('omit'),
  tasks: z
    .strictObject({
      enabled: z.boolean().default(true),
      dueDays: days.default(2),
      perOwnerPerWeek: z.number().int().min(0).default(3),
      fallbackOwner: z.string().optional(),
    })
    .prefault({}),
  scope: z.strictObject({ owners: z.array(z.string()).optional(), teams: z.array(z.string()).optional() }).prefault({}),
  /** `stage`: id of an open stage; absent: archiving is only proposed. */
  archive: z.strictObject({ proposeAfterDays: days.default(20), stage: z.string().min(1).optional() }).prefault({}),
  firstNight: z
    .strictObject({
      deadAfter: days.default(90),
      /** Working days -> what deals idle for longer than that before the first night get. */
      oldDeals: z.record(z.string().regex(/^\d+$/), z.enum(['flag', 'archive', 'nothing'])).default({}),
    })
    .prefault({}),
  brakes: z
    .strictObject({
      maxNewlyStalledShare: z.number().min(0).max(1).default(0.15),
      maxWritesPerRun: z.number().int().min(0).default(20_000),
    })
    .prefault({}),
})
export type Settings = z.infer<typeof Settings>

/** A stage as the rules see it. */
export interface StageFacts extends Stage {
  readonly pipelineId: string
  /** Working days without movement allowed here. */
  readonly limit: number
  /** A proposal is on the table in this stage. */
  readonly decision: boolean
  readonly excluded: 'pipeline' | 'stage' | null
  /** Position of the pipeline's first decision stage; null: it has none. */
  readonly decisionFrom: number | null
}

/** The stage `stageId` of `pipelineId`; of any other pipeline if that one has no such stage. */
export type StageTable = (pipelineId: string, stageId: string) => StageFacts | undefined

const tables = new WeakMap<Reference, { readonly policy: Policy; readonly table: StageTable }>()

/** Pipelines under a policy, worked out once per pair: judging a deal then costs two look-ups. */
export function stageTable(reference: Reference, policy: Policy): StageTable {
  const made = tables.get(reference)
  if (made?.policy === policy) return made.table
  const pipelines = new Map<string, Map<string, StageFacts>>()
  const anywhere = new Map<string, StageFacts>()
  for (const pipeline of reference.pipelines) {
    const decisions = pipeline.stages.filter((stage) => policy.decision.stages.includes(stage.id))
    const decisionFrom = decisions.length > 0 ? Math.min(...decisions.map((stage) => stage.order)) : null
    const rules = policy.pipelines[pipeline.id]?.stages ?? {}
    const stages = new Map<string, StageFacts>()
    for (const stage of pipeline.stages) {
      const decision = decisions.includes(stage)
      const limit = rules[stage.id]?.idleDays ?? (decision ? policy.idleDays.decisionStages : policy.idleDays.default)
      const inPipeline = policy.exclude.pipelines.includes(pipeline.id)
      const excluded = inPipeline ? 'pipeline' : policy.exclude.stages.includes(stage.id) ? 'stage' : null
      const facts = { ...stage, pipelineId: pipeline.id, limit, decision, excluded, decisionFrom } as const
      stages.set(stage.id, facts)
      if (!anywhere.has(stage.id)) anywhere.set(stage.id, facts)
    }
    pipelines.set(pipeline.id, stages)
  }
  const table: StageTable = (pipelineId, stageId) => pipelines.get(pipelineId)?.get(stageId) ?? anywhere.get(stageId)
  tables.set(reference, { policy, table })
  return table
}

type Scope = Settings['scope']
const scopes = new WeakMap<Reference, { readonly scope: Scope; readonly owners: ReadonlySet<OwnerId> }>()

/** Owners named in the scope by e-mail, name or id, or through their team. */
export function ownersInScope(reference: Reference, scope: Scope): ReadonlySet<OwnerId> {
  const made = scopes.get(reference)
  if (made?.scope === scope) return made.owners
  const named = new Set((scope.owners ?? []).map((one) => one.toLowerCase()))
  const teams = new Set(scope.teams ?? [])
  const inside = reference.owners.filter(
    ({ id, email, name, team }) =>
      [id, email, name].some((one) => one !== null && named.has(one.toLowerCase())) ||
      (team !== null && teams.has(team)),
  )
  const owners = new Set(inside.map((one) => one.id))
  scopes.set(reference, { scope, owners })
  return owners
}

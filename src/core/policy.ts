// The rules as data: what RevOps may set, with defaults. Parsed once at the edge; the core only reads it.
import { z } from 'zod'

const days = z.number().int().min(0)
const limits = z.strictObject({ idleDays: days.min(1).optional() })

export const Policy = z.strictObject({
  /** Working days without movement before `no_movement` fires. */
  idleDays: z.strictObject({ default: days.min(1).default(15), decisionStages: days.min(1).default(10) }).prefault({}),
  graceDays: z.strictObject({ newDeal: days.default(5), closeDate: days.default(5) }).prefault({}),
  pushes: z.number().int().min(1).default(3),
  countActivity: z.enum(['buyer', 'any']).default('buyer'),
  trustedSources: z.array(z.string()).default([]),
  automationUsers: z.array(z.string()).default([]),
  /** Stage ids in which a proposal is on the table; empty: the decision rules are off. */
  decision: z.strictObject({ stages: z.array(z.string()).default([]), days: days.min(1).default(10) }).prefault({}),
  pipelines: z.record(z.string(), z.strictObject({ stages: z.record(z.string(), limits).default({}) })).default({}),
  exclude: z
    .strictObject({
      stages: z.array(z.string()).default([]),
      pipelines: z.array(z.string()).default([]),
      types: z.array(z.string()).default([]),
    })
    .prefault({}),
  parking: z.strictObject({ maxDays: days.min(1).max(90).default(90) }).prefault({}),
})
export type Policy = z.infer<typeof Policy>

const date = z.iso.date()
/** `2026-12-24/2027-01-02`, both days included. */
export const DateRange = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}(\/\d{4}-\d{2}-\d{2})?$/, 'expected YYYY-MM-DD or YYYY-MM-DD/YYYY-MM-DD')

/** Everything a plan depends on beside the deals. Its JSON is hashed and frozen in the run row. */
export const Settings = z.strictObject({
  timezone: z.string(),
  language: z.enum(['en', 'fr']).default('en'),
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
  archive: z.strictObject({ proposeAfterDays: days.default(20), stage: z.string().optional() }).prefault({}),
  firstNight: z.strictObject({ deadAfter: days.default(90) }).prefault({}),
  brakes: z
    .strictObject({
      maxNewlyStalledShare: z.number().min(0).max(1).default(0.15),
      maxWritesPerRun: z.number().int().min(0).default(20_000),
    })
    .prefault({}),
})
export type Settings = z.infer<typeof Settings>

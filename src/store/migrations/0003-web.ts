// What lists of deals are filtered and sorted by, as columns the database itself keeps: the dashboard answers from them
// without reading the jsonb of 100,000 deals.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(COLUMNS).execute(db)
}

const COLUMNS = `
ALTER TABLE unstall.deal
  ADD COLUMN state text NOT NULL GENERATED ALWAYS AS (CASE WHEN gone THEN 'gone' WHEN outcome <> 'open' THEN 'closed'
    WHEN standing->>'state' IN ('stalled', 'parked', 'answered_no') THEN standing->>'state' ELSE 'moving' END) STORED,
  ADD COLUMN rule text GENERATED ALWAYS AS (standing->'stall'->>'rule') STORED,
  ADD COLUMN since bigint
    GENERATED ALWAYS AS (coalesce(standing->'stall'->>'startedAt', standing->>'since')::numeric::bigint) STORED,
  ADD COLUMN owner_id text NOT NULL GENERATED ALWAYS AS (coalesce(known->'deal'->>'ownerId', '')) STORED,
  ADD COLUMN pipeline_id text NOT NULL GENERATED ALWAYS AS (known->'deal'->>'pipelineId') STORED,
  ADD COLUMN stage_id text NOT NULL GENERATED ALWAYS AS (known->'deal'->>'stageId') STORED,
  ADD COLUMN amount numeric GENERATED ALWAYS AS ((known->'deal'->>'amount')::numeric) STORED,
  ADD COLUMN currency text GENERATED ALWAYS AS (known->'deal'->>'currency') STORED,
  ADD COLUMN close_date text GENERATED ALWAYS AS (known->'deal'->>'closeDate') STORED,
  ADD COLUMN moved_at bigint
    GENERATED ALWAYS AS ((known->'deal'->'own'->>'lastMovement')::numeric::bigint) STORED;

CREATE INDEX deal_listed ON unstall.deal (state) WHERE state NOT IN ('closed', 'gone');
`

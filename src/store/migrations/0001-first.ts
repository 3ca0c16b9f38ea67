// All tables of the first release, in a schema of their own so that a shared database stays tidy. The promises that
// must hold against two processes at once are unique indexes here, never checks in code.
import { type Kysely, sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(TABLES).execute(db)
}

const TABLES = `
CREATE TABLE unstall.connection (
  name text PRIMARY KEY, system text NOT NULL, cursor text, confirmed_at bigint,
  census_at bigint, circuit jsonb, reference jsonb
);

CREATE TABLE unstall.run (
  id text PRIMARY KEY, connection text NOT NULL, local_date text NOT NULL, seq int NOT NULL,
  kind text NOT NULL CHECK (kind IN ('night', 'manual', 'preview', 'undo')),
  step text NOT NULL CHECK (step IN ('pull', 'decide', 'apply', 'report', 'done')),
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'failed')),
  epoch int NOT NULL DEFAULT 0, starts int NOT NULL DEFAULT 0, attempts int NOT NULL DEFAULT 0,
  failures jsonb NOT NULL DEFAULT '[]', problem text,
  now bigint NOT NULL, settings jsonb NOT NULL, settings_hash text NOT NULL, options jsonb NOT NULL,
  summary jsonb, plan jsonb, created_at bigint NOT NULL, finished_at bigint,
  UNIQUE (connection, local_date, seq)
);
-- One connection, one worker at a time; one scheduled run per local date.
CREATE UNIQUE INDEX run_one_open ON unstall.run (connection) WHERE status = 'open';
CREATE UNIQUE INDEX run_one_night ON unstall.run (connection, local_date) WHERE kind = 'night';
CREATE INDEX run_newest ON unstall.run (created_at DESC);

CREATE TABLE unstall.deal (
  connection text NOT NULL, id text NOT NULL COLLATE "C", known jsonb NOT NULL, standing jsonb,
  modified_at bigint NOT NULL, outcome text NOT NULL, name text NOT NULL, url text NOT NULL, seen_run text NOT NULL,
  gone boolean NOT NULL, marked boolean NOT NULL, unsettled boolean NOT NULL,
  PRIMARY KEY (connection, id)
);
-- What a night must look at; the condition is repeated word for word in deals.ts.
CREATE INDEX deal_watched ON unstall.deal (connection, id)
  WHERE unsettled OR (NOT gone AND (outcome = 'open' OR marked));
CREATE INDEX deal_name ON unstall.deal (lower(left(name, 200)));

-- Records that could not be understood, of deals known before or never readable.
CREATE TABLE unstall.quarantine (
  connection text NOT NULL, deal text NOT NULL, problem text NOT NULL, since bigint NOT NULL,
  PRIMARY KEY (connection, deal)
);

CREATE TABLE unstall.transition (
  run text NOT NULL, connection text NOT NULL, deal text NOT NULL, at bigint NOT NULL,
  "from" text NOT NULL, "to" text NOT NULL, rule text, evidence jsonb NOT NULL,
  PRIMARY KEY (run, deal, "from", "to")
);
CREATE INDEX transition_deal ON unstall.transition (connection, deal, at);

CREATE TABLE unstall.ledger (
  run text NOT NULL, key text NOT NULL, connection text NOT NULL, deal text NOT NULL, "group" text NOT NULL,
  kind text NOT NULL, status text NOT NULL
    CHECK (status IN ('planned', 'held', 'dropped', 'sent', 'done', 'refused', 'left', 'undone')),
  "row" jsonb NOT NULL, person text, week text NOT NULL, task_key text, seq int NOT NULL,
  planned_at bigint NOT NULL, sent_at bigint, sent_epoch int, settled_at bigint, remote text, message text,
  PRIMARY KEY (run, key)
);
-- One stall can never get two tasks.
CREATE UNIQUE INDEX ledger_one_task ON unstall.ledger (connection, task_key)
  WHERE kind = 'create-task' AND status IN ('planned', 'sent', 'done', 'left', 'undone');
CREATE INDEX ledger_order ON unstall.ledger (run, status, seq);
CREATE INDEX ledger_unknown ON unstall.ledger (connection) WHERE status = 'sent';
CREATE INDEX ledger_deal ON unstall.ledger (connection, deal);
CREATE INDEX ledger_held_task ON unstall.ledger (connection, task_key, planned_at) WHERE kind = 'create-task' AND status = 'held';
CREATE INDEX ledger_person ON unstall.ledger (week, person) WHERE kind = 'create-task';

CREATE TABLE unstall.figures (
  run text PRIMARY KEY, connection text NOT NULL, local_date text NOT NULL, figures jsonb NOT NULL
);

CREATE TABLE unstall.token (
  connection text PRIMARY KEY, version int NOT NULL, sealed text, renew_at bigint, refused text,
  lease_by text NOT NULL, lease_until bigint NOT NULL
);

CREATE TABLE unstall.lease (name text PRIMARY KEY, by text NOT NULL, until bigint NOT NULL);
-- Locked by \`decide\` while it reserves the task budget (ledger.ts).
INSERT INTO unstall.lease VALUES ('budget', '', 0);
`

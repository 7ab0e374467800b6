import type { ColumnType } from 'kysely'

type Never<T> = ColumnType<T, never, never>

/** Written by `ledger.ingest` alone. */
export interface EventTable {
  chain_id: Never<string>
  /** bigint: arrives as a string. */
  seq: Never<string>
  ts: Never<Date>
  kind: Never<string>
  record: Never<string>
  principal_id: Never<string | null>
  principal: Never<string | null>
  token_id: Never<string | null>
  client: Never<string | null>
  session: Never<string | null>
  source: Never<string | null>
  era: Never<string | null>
  method: Never<string | null>
  upstream: Never<string | null>
  tool: Never<string | null>
  decision: Never<string | null>
  rule: Never<string | null>
  code: Never<string | null>
  outcome: Never<string | null>
  duration_ms: Never<number | null>
  bytes_in: Never<string | null>
  bytes_out: Never<string | null>
  /** The line as it was written. */
  body: Never<unknown>
  hash: Never<Buffer | null>
}

export interface ChainTable {
  chain_id: Never<string>
  node: Never<string>
  opened_at: Never<Date>
  closed_at: Never<Date | null>
  last_seq: Never<string>
  last_ts: Never<Date | null>
  last_hash: Never<Buffer | null>
  pruned_seq: Never<string>
  pruned_hash: Never<Buffer | null>
  gaps: Never<unknown>
}

/** View: an intent and what came of it, or any other record, as one row. */
export interface AttemptView {
  time: Never<Date>
  record: Never<string>
  kind: Never<string>
  principal_id: Never<string | null>
  principal: Never<string | null>
  token: Never<string | null>
  client: Never<string | null>
  session: Never<string | null>
  trace: Never<string | null>
  source: Never<string | null>
  era: Never<string | null>
  method: Never<string | null>
  upstream: Never<string | null>
  tool: Never<string | null>
  arguments: Never<unknown>
  digest: Never<string | null>
  decision: Never<string | null>
  rule: Never<string | null>
  outcome: Never<string | null>
  code: Never<string | null>
  duration_ms: Never<number | null>
  bytes_in: Never<string | null>
  bytes_out: Never<string | null>
  policy: Never<string | null>
  detail: Never<unknown>
  chain_id: Never<string>
  seq: Never<string>
}

export interface LedgerSchema {
  'ledger.event': EventTable
  'ledger.chain': ChainTable
  'ledger.attempt': AttemptView
}

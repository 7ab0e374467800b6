import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

type Db = Kysely<Schema>

/** One index that one partition of the ledger lacks. */
export interface MissingIndex {
  /** The partition, such as `event_2026_01`. */
  readonly table: string
  /** Of the whole ledger, such as `event_kind`. */
  readonly index: string
}

/** What is missing: after an upgrade, the new indexes of partitions that were large already. The newest partition comes first. */
export async function missingIndexes (db: Db): Promise<MissingIndex[]> {
  const { rows } = await sql<MissingIndex>`
    select p.relname as "table", i.relname as "index"
    from pg_index x join pg_class i on i.oid = x.indexrelid
      join pg_inherits h on h.inhparent = x.indrelid join pg_class p on p.oid = h.inhrelid
    where x.indrelid = 'ledger.event'::regclass and not x.indisvalid
      and not exists (select from pg_inherits a join pg_index y on y.indexrelid = a.inhrelid where a.inhparent = x.indexrelid and y.indrelid = p.oid)
    order by p.relname desc, i.relname`.execute(db)
  return rows
}

/** Index of an earlier version → the one that does its work. */
const REPLACED = [['event_principal', 'event_person'], ['event_tool', 'event_target']] as const

/**
 * Makes what is missing, beside whoever reads and writes; takes out what was replaced. `db` must have no limit of time, and
 * its role must own the ledger. At most one process does it at a time: false when another one is at it.
 */
export async function makeIndexes (db: Db, made: (one: MissingIndex) => void): Promise<boolean> {
  return await db.connection().execute(async (connection) => {
    const { rows: [lock] } = await sql<{ mine: boolean }>`select pg_try_advisory_lock(hashtext('ledger.make_indexes')) as mine`.execute(connection)
    if (lock?.mine !== true) return false
    try {
      for (const missing of await missingIndexes(connection)) {
        await makeIndex(connection, missing)
        made(missing)
      }
      for (const [old, now] of REPLACED) await dropReplaced(connection, old, now)
      return true
    } finally {
      await sql`select pg_advisory_unlock(hashtext('ledger.make_indexes'))`.execute(connection)
    }
  })
}

/** Asks for the index of the words in arguments, or drops it. `makeIndexes` then builds it. */
export async function setWordIndex (db: Db, wanted: boolean): Promise<void> {
  const statement = wanted
    ? sql`create index if not exists event_words on only ledger.event using gin (ledger.words(body ->> 'args')) where kind <> all ('{outcome,recovered}'::text[])`
    : sql`drop index if exists ledger.event_words`
  await statement.execute(db)
}

async function makeIndex (db: Db, { table, index }: MissingIndex): Promise<void> {
  const name = table + index.slice('event'.length)
  const { rows: [definition] } = await sql<{ text: string }>`select pg_get_indexdef(${`ledger.${index}`}::regclass) as text`.execute(db)
  if (definition === undefined) return
  // What an earlier attempt left when it was cut off is not valid.
  await sql`drop index concurrently if exists ${sql.id('ledger', name)}`.execute(db)
  await sql.raw(definition.text.replace(`INDEX ${index} ON ONLY ledger.event `, `INDEX CONCURRENTLY ${name} ON ledger.${table} `)).execute(db)
  await sql`alter index ${sql.id('ledger', index)} attach partition ${sql.id('ledger', name)}`.execute(db)
}

async function dropReplaced (db: Db, old: string, now: string): Promise<void> {
  const { rows: [found] } = await sql<{ ready: boolean }>`
    select x.indisvalid and to_regclass(${`ledger.${old}`}) is not null as ready from pg_index x where x.indexrelid = ${`ledger.${now}`}::regclass`.execute(db)
  if (found?.ready === true) await sql`drop index ${sql.id('ledger', old)}`.execute(db)
}

import { sql, type Kysely } from 'kysely'

import type { Schema } from './schema.ts'

/** What a gateway does with the ledger: all of it adds, nothing changes or removes. */
const LEDGER_FUNCTIONS = ['open_chain', 'ingest', 'note_gap', 'close_chain', 'ensure_month', 'add_checkpoint', 'genesis', 'add_hold', 'words', 'wanted'] as const
/** Kysely's notes of what was migrated: to be read, so that a gateway knows that there is nothing to do. */
const MIGRATION_TABLES = ['kysely_migration', 'kysely_migration_lock']

/**
 * Gives a role what a gateway needs and takes everything else away: users and tokens it may change, the ledger it may
 * read and add to. Returns undefined when that is done, or why this role cannot be held to it. May be done again.
 */
export async function grantGateway (db: Kysely<Schema>, role: string): Promise<string | undefined> {
  const { rows: [found] } = await sql<{ mighty: boolean, owner: boolean }>`
    select rolsuper or rolbypassrls or rolcreaterole as mighty, pg_has_role(oid, (select relowner from pg_class where oid = 'ledger.event'::regclass), 'member') as owner
    from pg_roles where rolname = ${role}`.execute(db)
  if (found === undefined) return 'there is no such role'
  if (found.mighty) return 'it is a superuser, or may make one'
  if (found.owner) return 'it owns the tables, or is a member of the role that does'
  await db.transaction().execute(async (transaction) => {
    for (const statement of await statementsFor(transaction, role)) await sql.raw(statement).execute(transaction)
  })
  return undefined
}

/** What this role may not do of what a gateway does: functions of the ledger, and tables of users and tokens. */
export async function missingRights (db: Kysely<Schema>): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select 'call ledger.' || proname as name from pg_proc
    where pronamespace = 'ledger'::regnamespace and proname = any(${[...LEDGER_FUNCTIONS]}) and not has_function_privilege(oid, 'execute')
    union all
    select 'change ' || relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> all(${MIGRATION_TABLES})
      and not (has_table_privilege(oid, 'select') and has_table_privilege(oid, 'insert') and has_table_privilege(oid, 'update') and has_table_privilege(oid, 'delete'))`.execute(db)
  return rows.map(({ name }) => name)
}

async function statementsFor (db: Kysely<Schema>, role: string): Promise<string[]> {
  const { rows: [names] } = await sql<{ role: string, functions: string }>`
    select quote_ident(${role}) as role, string_agg(p.oid::regprocedure::text, ', ') as functions
    from pg_proc p where p.pronamespace = 'ledger'::regnamespace and p.proname = any(${[...LEDGER_FUNCTIONS]})`.execute(db)
  if (names === undefined) return []
  const { role: grantee, functions } = names
  return [
    `revoke all on all tables in schema ledger, public from ${grantee}`,
    `revoke all on all functions in schema ledger from ${grantee}`,
    `revoke create on schema ledger, public from ${grantee}`,
    `grant usage on schema ledger, public to ${grantee}`,
    `grant select on all tables in schema ledger to ${grantee}`,
    `grant execute on function ${functions} to ${grantee}`,
    `grant select, insert, update, delete on all tables in schema public to ${grantee}`,
    `revoke insert, update, delete on ${MIGRATION_TABLES.join(', ')} from ${grantee}`,
  ]
}

import { Command } from 'commander'

import { connectPatiently, openDatabase } from '../../db/connect.ts'
import { grantGateway } from '../../db/gateway-role.ts'
import { makeIndexes, missingIndexes, setWordIndex } from '../../db/ledger-indexes.ts'
import { loadConfig } from '../config/config.ts'
import { createLogger } from '../log.ts'
import { mustOwn } from './must-own.ts'
import { printable } from '../printable.ts'
import type { CommandContext } from './session.ts'

/** `portcullis db …`: what the owner of the database does, so that the gateway need not be the owner. */
export function dbCommands ({ configOption, env, out }: CommandContext): Command {
  const db = new Command('db')
  db.command('migrate')
    .description('bring the schema up to date, and let a role run a gateway on it')
    .option('--grant <role>', 'an existing role: it may add to the ledger, and neither change nor remove anything in it')
    .addOption(configOption())
    .action(async ({ config, grant }: { config?: string, grant?: string }) => {
      const { data, databaseUrl } = loadConfig(env, { file: config, allowUnsandboxed: true })
      await migrateDatabase({ data, databaseUrl, out }, grant)
    })
  db.command('index')
    .description('build the indexes that searches of the ledger lack, beside a running gateway')
    .option('--words', 'one of the words in arguments too, for `audit search --text`; recording then costs the database twice as much')
    .option('--no-words', 'drop that one')
    .addOption(configOption())
    .action(async ({ config, words }: { config?: string, words?: boolean }) => {
      const { data, databaseUrl } = loadConfig(env, { file: config, allowUnsandboxed: true })
      await indexDatabase({ data, databaseUrl, out }, words)
    })
  return db
}

interface Place { readonly data: string, readonly databaseUrl: string | undefined, readonly out: (text: string) => void }

/** `db migrate`. Throws an Error that says what to do. */
export async function migrateDatabase ({ data, databaseUrl, out }: Place, role?: string): Promise<void> {
  const database = await openDatabase({ url: databaseUrl, data, log: createLogger({ level: 'error' }) })
  try {
    out('The schema is up to date.\n')
    if (role === undefined) return
    const problem = await grantGateway(database.db, role)
    if (problem !== undefined) throw new Error(`${printable(role)} cannot be the gateway's role: ${problem}. Make one that owns nothing: create role ${printable(role)} login password '…'`)
    out(`${printable(role)} may run a gateway: it reads the ledger and adds to it, and can change nothing in it.\n`)
  } finally {
    await database.close()
  }
}

/** `db index`; `words` undefined leaves the index of words as it is. Throws an Error that says what to do. */
export async function indexDatabase ({ data, databaseUrl, out }: Place, words?: boolean): Promise<void> {
  const log = createLogger({ level: 'error' })
  const database = await openDatabase({ url: databaseUrl, data, log })
  // Over many millions of records one index takes minutes.
  const patient = connectPatiently(database.url, log)
  try {
    await mustOwn(database, 'build indexes')
    if (words !== undefined) await setWordIndex(patient.db, words)
    const free = await makeIndexes(patient.db, ({ table, index }) => out(`Built ${index} over ${table}.\n`))
    if (!free) throw new Error('Another process is building indexes: wait for it.')
    const left = await missingIndexes(database.db)
    out(left.length === 0 ? 'The ledger has all its indexes.\n' : `${left.length} indexes are still missing: run the command again.\n`)
  } finally {
    await patient.close()
    await database.close()
  }
}

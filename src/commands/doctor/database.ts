import { openDatabase } from '../../../db/connect.ts'
import type { Database } from '../../../db/connect.ts'
import { missingRights } from '../../../db/gateway-role.ts'
import { loadKeys } from '../../../db/keys.ts'
import { pendingMigrations } from '../../../db/migrate.ts'
import { ownsLedger } from '../../../db/retention.ts'
import type { Config } from '../../config/config.ts'
import { openMasterKey } from '../../identity/master-key.ts'
import { openSigningKeys } from '../../identity/signing-keys.ts'
import { createLogger } from '../../log.ts'
import { counted, failed, guarded, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

/** Opens the database as it is: its schema is looked at and not changed. Undefined when it cannot be used. */
export async function openAsItIs ({ databaseUrl, data }: Pick<Config, 'databaseUrl' | 'data'>): Promise<{ readonly database?: Database, readonly findings: readonly Finding[] }> {
  try {
    return { database: await openDatabase({ url: databaseUrl, data, migrate: false, log: createLogger({ level: 'silent' }) }), findings: [] }
  } catch (error) {
    return { findings: [failed('database', error instanceof Error ? error.message : String(error), 'Bring it back: until then calls go on only as long as audit.max_outage and the spool allow.')] }
  }
}

/** Its schema, and whether the role may do what a gateway does. */
export async function checkDatabase ({ db }: Pick<Database, 'db'>, isEmbedded: boolean): Promise<Finding[]> {
  return await guarded('database', async () => {
    const place = isEmbedded ? 'The embedded one answers' : 'It answers'
    const pending = await pendingMigrations(db)
    if (pending.length > 0) return [warning('database', `${place}; ${counted(pending.length, 'migration')} pending: ${pending.join(', ')}.`, 'The next start of the gateway does them, or `portcullis db migrate` as its owner.')]
    if (await ownsLedger(db)) return [ok('database', `${place}, its schema is current, and the role owns it.`)]
    const missing = await missingRights(db)
    return missing.length === 0
      ? [ok('database', `${place}, its schema is current, and the role may do what a gateway does and no more.`)]
      : [failed('database', `${place}, and the role lacks rights to ${missing.join(', ')}.`, 'Run `portcullis db migrate --grant <role>` with the DATABASE_URL of the owner.')]
  })
}

/** Whether the keys in the database open with the one in the data directory. */
export async function checkKeys ({ db }: Pick<Database, 'db'>, data: string): Promise<Finding[]> {
  return await guarded('keys', async () => {
    const master = openMasterKey(data)
    if ((await loadKeys(db, new Date())).length === 0) return [ok('keys', `${master.file} is in order; the first signing key is made at the first start.`)]
    const keys = await openSigningKeys({ db, master, now: Date.now })
    return [ok('keys', `${master.file} is in order and opens the database's keys; ${keys.active().kid} signs.`)]
  }, 'The database and PORTCULLIS_DATA belong together: restore both from the same moment.')
}

import { Command } from 'commander'

import { listKeys } from '../../db/keys.ts'
import { openMasterKey } from '../identity/master-key.ts'
import { PUBLISHED_AHEAD, rotateKey } from '../identity/signing-keys.ts'
import { inSession } from './session.ts'
import type { CommandContext } from './session.ts'
import { table } from './table.ts'

/** `portcullis key …` */
export function keyCommands (context: CommandContext): Command {
  const { configOption } = context
  const key = new Command('key')
  key.command('rotate')
    .description('make a new signing key; it is published at once and signs in an hour')
    .option('--now', 'sign with it at once (when the old one may be in wrong hands)')
    .addOption(configOption())
    .action(async ({ config, now }: { config?: string, now?: boolean }) => await inSession(context, config, async ({ database, config: { data }, audit, out }) => {
      const notBefore = new Date(Date.now() + (now === true ? 0 : PUBLISHED_AHEAD))
      const kid = await rotateKey({ db: database.db, master: openMasterKey(data) }, notBefore, (made) => { audit({ kind: 'token', source: 'cli', outcome: 'ok', detail: { action: 'rotate key', kid: made } }) })
      out(`The key ${kid} signs from ${notBefore.toISOString()} on, within a minute. Tokens of the key before stay good until they expire.\n`)
    }))
  key.command('list').description('list the keys').option('--json', 'for scripts').addOption(configOption())
    .action(async ({ config, json }: { config?: string, json?: boolean }) => await inSession(context, config, async ({ database, out }) => {
      const rows = await listKeys(database.db)
      if (json === true) return out(`${JSON.stringify(rows, null, 2)}\n`)
      out(table(['KEY', 'STATE', 'SIGNS FROM', 'VERIFIES UNTIL'], rows.map((row) => [row.kid, row.state, row.notBefore.toISOString().slice(0, 16), row.retireAt?.toISOString().slice(0, 16) ?? '-'])))
    }))
  return key
}

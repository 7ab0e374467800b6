import { userInfo } from 'node:os'

import type { Command } from 'commander'

import { Refusal } from '../errors.ts'
import { openMasterKey } from '../identity/master-key.ts'
import { findUser } from '../identity/users.ts'
import { PayloadKeys } from '../ledger/payload-keys.ts'
import { forgetPayloads, readPayloads } from '../ledger/payloads.ts'
import type { Actor } from '../ledger/on-record.ts'
import { jsonOf, printable } from '../printable.ts'
import { sessionAction } from './session.ts'
import type { CommandContext, CommandSession } from './session.ts'
import { UsageError } from './usage-error.ts'

type PayloadCommand = Pick<CommandSession, 'database' | 'ledger' | 'out'> & { readonly config: { readonly data: string } }

/** Adds `payload` and `forget` to `portcullis audit`. */
export function payloadCommands (audit: Command, context: CommandContext): void {
  audit.command('payload <record>')
    .description('the arguments and the result of one call, where audit.payloads kept them; reading is recorded')
    .option('--json', 'for scripts')
    .addOption(context.configOption())
    .action(sessionAction(context, async (session, options: { json?: boolean }, record) => await auditPayload(session, record, options)))
  audit.command('forget <user>')
    .description('destroy the key of a user\'s payloads: they can never be read again, and the chain stays whole')
    .option('--yes', 'it is meant')
    .addOption(context.configOption())
    .action(sessionAction(context, async (session, options: { yes?: boolean }, user) => await auditForget(session, user, options)))
}

/** `audit payload RECORD`. Returns the exit code: 1 when there is nothing to show. */
export async function auditPayload (command: PayloadCommand, record: string, { json }: { readonly json?: boolean | undefined } = {}): Promise<number> {
  const { out } = command
  const payloads = await readPayloads(readingOf(command), record, here())
  if (json === true) out(payloads.map(payload => `${jsonOf({ record, ...payload })}\n`).join(''))
  else if (payloads.length === 0) out(`No payload was kept of ${printable(record)}: audit.payloads says of which calls one is.\n`)
  else for (const payload of payloads) out(`${payload.part}\n    ${'text' in payload ? printable(payload.text) : `(cannot be read: ${payload.problem})`}\n`)
  return payloads.some(payload => 'text' in payload) ? 0 : 1
}

/** `audit forget USER`: a name, or the id of a user that is gone. Returns the exit code. Throws an Error that says what to do. */
export async function auditForget (command: PayloadCommand, name: string, { yes }: { readonly yes?: boolean | undefined }): Promise<number> {
  const user = await whoIs(command, name)
  if (yes !== true) throw new UsageError(`This cannot be undone: every payload of ${user.name ?? user.id} becomes unreadable, on every gateway. Say --yes if it is meant.`)
  const destroyed = await forgetPayloads(readingOf(command), user, here())
  command.out(destroyed === 0 ? `No payload of ${user.name ?? user.id} was kept.\n` : `The payloads of ${user.name ?? user.id} can never be read again. The records stay, and the chain still verifies.\n`)
  return 0
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

async function whoIs ({ database }: PayloadCommand, name: string): Promise<{ id: string, name?: string }> {
  try {
    return await findUser(database.db, name)
  } catch (error) {
    if (error instanceof Refusal && UUID.test(name)) return { id: name }
    throw error
  }
}

function readingOf ({ database, ledger, config }: PayloadCommand): { database: PayloadCommand['database'], ledger: PayloadCommand['ledger'], keys: PayloadKeys } {
  return { database, ledger, keys: new PayloadKeys(database.db, openMasterKey(config.data)) }
}

export function here (): Actor {
  return { source: 'cli', account: userInfo().username }
}

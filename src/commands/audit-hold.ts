import type { Command } from 'commander'

import { addHold, liftHold, listHolds } from '../../db/holds.ts'
import type { Hold } from '../../db/holds.ts'
import { onRecord } from '../ledger/on-record.ts'
import { here } from './audit-payload.ts'
import { mustOwn } from './must-own.ts'
import { readTime } from './options.ts'
import { printable } from '../printable.ts'
import { sessionAction } from './session.ts'
import type { CommandContext, CommandSession } from './session.ts'
import { table } from './table.ts'

type HoldCommand = Pick<CommandSession, 'database' | 'ledger' | 'out'>

/** Adds `hold` to `portcullis audit`. */
export function holdCommands (audit: Command, context: CommandContext): void {
  const { configOption } = context
  const hold = audit.command('hold').description('keep records whatever audit.retention says')
  hold.command('add <reason>')
    .description('from now on, what matches stays; without an option, everything')
    .option('--user <name>', 'records of this user')
    .option('--upstream <name>', 'records of calls to this upstream')
    .option('--since <time>', 'such as 90d or 2026-01-31')
    .option('--until <time>', 'likewise')
    .addOption(configOption())
    .action(sessionAction(context, async (session, options: HoldOptions, reason) => await auditHold(session, reason, options)))
  hold.command('list')
    .description('every hold there is or was')
    .addOption(configOption())
    .action(sessionAction(context, async (session) => await auditHolds(session)))
  hold.command('remove <number>')
    .description('lift a hold; takes the owner of the database')
    .addOption(configOption())
    .action(sessionAction(context, async (session, _options: object, id) => await auditLift(session, id)))
}

interface HoldOptions {
  readonly user?: string | undefined
  readonly upstream?: string | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
}

/** `audit hold add`. On the record before it is made. Throws an Error that says what to do. */
export async function auditHold ({ database, ledger, out }: HoldCommand, reason: string, { user, upstream, since, until }: HoldOptions, now: number = Date.now()): Promise<void> {
  const hold = { reason, principal: user, upstream, since: readTime('--since', since, now), until: readTime('--until', until, now) }
  await onRecord(ledger, here(), { action: 'hold', ...hold })
  out(`Hold ${await addHold(database.db, hold, here().account ?? '')} keeps ${scopeOf({ ...hold, principal: user ?? null, upstream: upstream ?? null, since: hold.since ?? null, until: hold.until ?? null })}.\n`)
}

/** `audit hold list` */
export async function auditHolds ({ database, out }: HoldCommand): Promise<void> {
  const holds = await listHolds(database.db)
  if (holds.length === 0) out('There are no holds.\n')
  else out(table(['NUMBER', 'KEEPS', 'REASON', 'MADE', 'BY', 'LIFTED'], holds.map(hold => [hold.id, scopeOf(hold), hold.reason, dayOf(hold.madeAt), hold.madeBy, hold.liftedAt === null ? '' : `${dayOf(hold.liftedAt)} by ${hold.liftedBy}`].map(printable))))
}

/** `audit hold remove`. On the record before it is lifted. Throws an Error that says what to do. */
export async function auditLift ({ database, ledger, out }: HoldCommand, id: string): Promise<void> {
  const hold = (await listHolds(database.db)).find(each => each.id === id && each.liftedAt === null)
  if (hold === undefined) throw new Error(`There is no hold ${printable(id)} that could be lifted. \`portcullis audit hold list\` has them all.`)
  await mustOwn(database, 'lift a hold')
  await onRecord(ledger, here(), { action: 'lift hold', hold: id, reason: hold.reason })
  await liftHold(database.db, id, here().account ?? '')
  out(`Hold ${id} is lifted.\n`)
}

function scopeOf ({ principal, upstream, since, until }: Pick<Hold, 'principal' | 'upstream' | 'since' | 'until'>): string {
  const parts = [principal === null ? '' : `user ${principal}`, upstream === null ? '' : `upstream ${upstream}`, since === null ? '' : `since ${dayOf(since)}`, until === null ? '' : `until ${dayOf(until)}`]
  return parts.filter(part => part !== '').join(', ') || 'everything'
}

function dayOf (time: Date): string {
  return time.toISOString().slice(0, 10)
}

import { lastConfig } from '../../db/last-config.ts'
import type { Database } from '../../db/connect.ts'
import type { AuditSpec, Config, RoleSpec, RuleSpec, SinkSpec } from '../config/config.ts'
import { redact } from '../guard/redact.ts'
import type { Entry } from './entry.ts'

/** Characters of one text, and of all of it: a configuration of hundreds of rules is cut rather than kept whole. */
const ROOM = { text: 512, total: 64 * 1024 }

/**
 * What a start records of the configuration: which it is, who may do what, what is recorded; and, when it is another one
 * than at the start before, what that was. Never a secret: commands, environments and headers are left out, and of an
 * address only the host is kept.
 */
export async function configEntry ({ db }: Pick<Database, 'db'>, config: Config): Promise<Omit<Entry, 'record'>> {
  const last = await lastConfig(db)
  const now = redact(factsOf(config), [], ROOM) as object
  const changed = last !== undefined && last.policy !== config.version
  return { kind: 'config', outcome: 'ok', policy: config.version, detail: { file: config.file, ...now, ...(changed && { before: { policy: last.policy, ...earlier(last.detail) } }) } }
}

function factsOf ({ upstreams, roles, limits, audit }: Config): object {
  return {
    upstreams: [...upstreams.keys()],
    roles: Object.fromEntries([...roles.values()].map(role => [role.name, rulesOf(role)])),
    limits: limits.map(({ name, tool }) => tool === undefined ? name : `${name} on ${tool}`),
    audit: auditOf(audit),
  }
}

function rulesOf ({ allow, deny }: RoleSpec): object {
  return { allow: allow.map(textOf), ...(deny.length > 0 && { deny: deny.map(textOf) }) }
}

function textOf ({ kind, pattern, where }: RuleSpec): string {
  return `${kind === undefined ? '' : `${kind} `}${pattern}${where === undefined ? '' : ` where ${where}`}`
}

/** Member by member: who adds a setting decides here whether it may be recorded. */
function auditOf ({ sinks, anchor, ...plain }: AuditSpec): Record<keyof AuditSpec, unknown> {
  const { arguments: kept, durability, onFailure, redact: hidden, payloads, maxOutage, spoolMax, checkpointEvery, retention, archive } = plain
  return { arguments: kept, durability, onFailure: onFailure.allow.length === 0 ? 'deny' : onFailure, redact: hidden, payloads, maxOutage, spoolMax, checkpointEvery, retention, archive, sinks: sinks.map(sinkOf), anchor: anchor === undefined ? undefined : hostOf(anchor) }
}

function sinkOf ({ url, format, maxLag, onLag }: SinkSpec): object {
  return { to: hostOf(url), format, maxLag, onLag }
}

/** User part, path and query of an address may be the credential. */
function hostOf (address: string): string {
  const { protocol, host } = new URL(address)
  return `${protocol}//${host}`
}

/** What the record of the start before says, without what that itself had come from. */
function earlier (detail: unknown): object {
  const { before, ...rest } = typeof detail === 'object' && detail !== null ? detail as Record<string, unknown> : {}
  return rest
}

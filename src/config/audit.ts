import { present } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'
import { parseDuration, parseSize } from './units.ts'
import type { AuditSpec } from './config.ts'
import type { Surroundings } from './reading.ts'

const leastSpool = parseSize('1MiB')

/** `audit:` → what is recorded, and how surely. */
export function readAudit (raw: RawConfig['audit'], { report }: Surroundings): AuditSpec {
  const spoolMax = parseSize(raw?.spool_max ?? defaults.audit.spool_max)
  if (spoolMax < leastSpool) report.problem(['audit', 'spool_max'], 'must be at least 1MiB')
  if (raw?.anchor !== undefined && !URL.canParse(raw.anchor)) report.problem(['audit', 'anchor'], `is not an address: ${JSON.stringify(raw.anchor)}`)
  return {
    arguments: raw?.arguments ?? defaults.audit.arguments,
    durability: raw?.durability ?? defaults.audit.durability,
    onFailure: 'deny',
    redact: present(raw?.redact).map(([, name]) => name),
    maxOutage: parseDuration(raw?.max_outage ?? defaults.audit.max_outage),
    spoolMax,
    checkpointEvery: parseDuration(raw?.checkpoint_every ?? defaults.audit.checkpoint_every),
    anchor: raw?.anchor,
  }
}

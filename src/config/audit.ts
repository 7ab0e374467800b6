import { patternProblem } from './pattern.ts'
import { present } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'
import { parseDuration, parseSize } from './units.ts'
import type { AuditSpec, PayloadSpec } from './config.ts'
import type { Surroundings } from './reading.ts'

const leastSpool = parseSize('1MiB')
const largestPayload = parseSize('1MiB')

/** `audit:` → what is recorded, and how surely. */
export function readAudit (raw: RawConfig['audit'], around: Surroundings): AuditSpec {
  const { report } = around
  const spoolMax = parseSize(raw?.spool_max ?? defaults.audit.spool_max)
  if (spoolMax < leastSpool) report.problem(['audit', 'spool_max'], 'must be at least 1MiB')
  if (raw?.anchor !== undefined && !URL.canParse(raw.anchor)) report.problem(['audit', 'anchor'], `is not an address: ${JSON.stringify(raw.anchor)}`)
  return {
    arguments: raw?.arguments ?? defaults.audit.arguments,
    durability: raw?.durability ?? defaults.audit.durability,
    onFailure: 'deny',
    redact: readRedact(raw, around),
    payloads: readPayloads(raw, around),
    maxOutage: parseDuration(raw?.max_outage ?? defaults.audit.max_outage),
    spoolMax,
    checkpointEvery: parseDuration(raw?.checkpoint_every ?? defaults.audit.checkpoint_every),
    anchor: raw?.anchor,
  }
}

function readRedact (raw: RawConfig['audit'], { report }: Surroundings): string[] {
  return present(raw?.redact).map(([index, name]) => {
    if (name.startsWith('$') && !/^\$(\.[^.\s]+)+$/.test(name)) report.problem(['audit', 'redact', index], `the path ${JSON.stringify(name)} is not like $.customer.email or $.items.*.iban`)
    return name
  })
}

function readPayloads (raw: RawConfig['audit'], { report, upstreams }: Surroundings): PayloadSpec[] {
  return present(raw?.payloads).map(([index, { keep, tool, max }]) => {
    const problem = tool === undefined ? undefined : patternProblem(tool, undefined, upstreams)
    if (problem !== undefined) report.problem(['audit', 'payloads', index, 'tool'], problem)
    const bytes = parseSize(max ?? defaults.payload_max)
    if (bytes > largestPayload) report.problem(['audit', 'payloads', index, 'max'], 'must be at most 1MiB')
    return { keep, tool, max: bytes }
  })
}

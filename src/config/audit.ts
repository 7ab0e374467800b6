import { resolve } from 'node:path'

import { patternProblem } from './pattern.ts'
import { present } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'
import { parseDuration, parseSize } from './units.ts'
import type { AuditSpec, PayloadSpec, SinkSpec } from './config.ts'
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
    onFailure: { allow: readOnFailure(raw, around) },
    redact: readRedact(raw, around),
    payloads: readPayloads(raw, around),
    sinks: readSinks(raw, around),
    maxOutage: parseDuration(raw?.max_outage ?? defaults.audit.max_outage),
    spoolMax,
    checkpointEvery: parseDuration(raw?.checkpoint_every ?? defaults.audit.checkpoint_every),
    anchor: raw?.anchor,
    retention: readRetention(raw, around),
    archive: raw?.archive === undefined ? undefined : resolve(around.directory, raw.archive),
  }
}

function readOnFailure (raw: RawConfig['audit'], { report, upstreams }: Surroundings): string[] {
  const given = raw?.on_failure ?? defaults.audit.on_failure
  if (given === 'deny') return []
  return present(given.allow).map(([index, pattern]) => {
    const problem = patternProblem(pattern, 'tool', upstreams)
    if (problem !== undefined) report.problem(['audit', 'on_failure', 'allow', index], problem)
    return pattern
  })
}

const leastRetention = parseDuration('1d')

function readRetention (raw: RawConfig['audit'], { report }: Surroundings): number | undefined {
  if (raw?.retention === undefined) return undefined
  const retention = parseDuration(raw.retention)
  if (retention < leastRetention) report.problem(['audit', 'retention'], 'must be at least 1d')
  return retention
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

function readSinks (raw: RawConfig['audit'], { report, directory }: Surroundings): SinkSpec[] {
  const seen = new Set<string>()
  return present(raw?.sinks).map(([index, { url, format, token_file: tokenFile, max_lag: maxLag, on_lag: onLag }]) => {
    const path = ['audit', 'sinks', index]
    if (!URL.canParse(url)) report.problem([...path, 'url'], `is not an address: ${JSON.stringify(url)}`)
    else if (seen.has(url)) report.problem([...path, 'url'], 'is the address of an earlier sink: its position is kept by address')
    if (tokenFile !== undefined && url.startsWith('syslog')) report.problem([...path, 'token_file'], 'is for http:// and https:// only')
    seen.add(url)
    return {
      url,
      format: format ?? defaults.sink.format,
      tokenFile: tokenFile === undefined ? undefined : resolve(directory, tokenFile),
      maxLag: parseDuration(maxLag ?? defaults.sink.max_lag),
      onLag: onLag ?? defaults.sink.on_lag,
    }
  })
}

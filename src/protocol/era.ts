/** The two ways MCP is spoken: `legacy` with an initialize handshake and sessions, `modern` with a per-request envelope. */
export type Era = 'legacy' | 'modern'

/** Revisions with a handshake, newest first. The first is what an unknown version is answered with. */
export const legacyVersions = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const
export const modernVersions = ['2026-07-28'] as const

/** Reserved `_meta` members of the 2026-07-28 envelope (specification 2026-07-28, basic, _meta). */
export const meta = {
  protocolVersion: 'io.modelcontextprotocol/protocolVersion',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  logLevel: 'io.modelcontextprotocol/logLevel',
  serverInfo: 'io.modelcontextprotocol/serverInfo',
  subscriptionId: 'io.modelcontextprotocol/subscriptionId',
} as const

/** Our own `_meta` member: the id of the record an answer can be found by. */
export const recordKey = 'portcullis/record'

export const logLevels = ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'] as const
export type LogLevel = typeof logLevels[number]

export function isLegacyVersion (version: unknown): version is typeof legacyVersions[number] {
  return (legacyVersions as readonly unknown[]).includes(version)
}

export function isModernVersion (version: unknown): version is typeof modernVersions[number] {
  return (modernVersions as readonly unknown[]).includes(version)
}

export function isLogLevel (level: unknown): level is LogLevel {
  return (logLevels as readonly unknown[]).includes(level)
}

/** True when a message of `level` is at least as severe as `wanted`. */
export function isAtLeast (level: unknown, wanted: LogLevel): boolean {
  return (logLevels as readonly unknown[]).indexOf(level) >= logLevels.indexOf(wanted)
}

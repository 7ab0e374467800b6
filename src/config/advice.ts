import { fits } from './unavailable.ts'
import type { Path } from './problems.ts'

/** Keys people bring from other programs, and what they are called here. */
const keys: readonly { path: readonly string[], sentence: string }[] = [
  { path: ['mcpServers'], sentence: 'unknown key "mcpServers": put its entries under "upstreams"; they work there as they are' },
  { path: ['servers'], sentence: 'unknown key "servers": put its entries under "upstreams"; they work there as they are' },
  { path: ['rules'], sentence: 'unknown key "rules": rules stand in the lists roles.<role>.allow and roles.<role>.deny' },
  { path: ['users'], sentence: 'unknown key "users": users are kept in the database; see `portcullis user add`' },
  { path: ['upstreams', '*', 'timeout'], sentence: 'unknown key "timeout" – did you mean "timeouts: { call: 60s }"?' },
  { path: ['upstreams', '*', 'disabled'], sentence: 'unknown key "disabled": comment the upstream out, or give nobody a rule for it' },
  { path: ['upstreams', '*', 'network'], sentence: 'unknown key "network": it belongs under "sandbox"' },
  { path: ['upstreams', '*', 'read'], sentence: 'unknown key "read": it belongs under "sandbox"' },
  { path: ['upstreams', '*', 'write'], sentence: 'unknown key "write": it belongs under "sandbox"' },
  { path: ['upstreams', '*', 'memory'], sentence: 'unknown key "memory": it belongs under "sandbox"' },
]

const values: readonly { path: readonly string[], when: (value: unknown) => boolean, sentence: string }[] = [
  { path: ['limits', '*', 'calls'], when: (value) => value === 0, sentence: 'must be at least 1: a limit of 0 would refuse every call. To forbid a tool, name it in roles.<role>.deny' },
  { path: ['audit', 'on_failure'], when: (value) => value === 'allow', sentence: 'must name the tools whose calls may go on without a record: { allow: [upstream/tool, …] }' },
]

const sizes = ['memory', 'file_size', 'tmp', 'max_arguments', 'max_result', 'max_body', 'spool_max']

export function adviceForKey (path: Path): string | undefined {
  return keys.find((row) => fits(row.path, path))?.sentence
}

export function adviceForValue (path: Path, value: unknown): string | undefined {
  const row = values.find((entry) => fits(entry.path, path) && entry.when(value))
  return row?.sentence ?? (sizes.includes(String(path.at(-1))) ? sizeAdvice(value) : undefined)
}

/** `512MB`, `512M`, `0.5GiB`, `-1MiB`: what is wrong with a size that nearly is one. */
function sizeAdvice (value: unknown): string | undefined {
  if (typeof value === 'number' && value <= 0) return `must be larger than 0, got ${value}`
  const match = typeof value === 'string' ? /^(-?)([0-9]+(?:\.[0-9]+)?) ?([KMG]?)(?:i?B?)$/i.exec(value.trim()) : null
  if (match === null) return undefined
  const [, sign, amount = '', unit = ''] = match
  if (sign === '-' || Number(amount) === 0) return `must be larger than 0, got ${JSON.stringify(value)}`
  if (amount.includes('.')) return `must be a whole number of a smaller unit, got ${JSON.stringify(value)}`
  return `must be a size such as 64KiB, 512MiB, 1GiB or a number of bytes, got ${JSON.stringify(value)} – did you mean "${amount}${unit === '' ? 'B' : `${unit.toUpperCase()}iB`}"?`
}

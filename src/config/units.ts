const bytes: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }
const milliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const periods: Readonly<Record<string, number>> = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000 }

/** JSON Schema patterns of the text forms, for editors and for the validator. */
export const sizePattern = '^[1-9][0-9]{0,8}(B|KiB|MiB|GiB)$'
export const durationPattern = '^[0-9]{1,9}(ms|s|m|h|d)$'
export const periodNames = Object.keys(periods)

/** `512MiB` or a number of bytes → bytes; NaN when it is neither. */
export function parseSize (value: string | number): number {
  return typeof value === 'number' ? value : scaled(value, bytes)
}

/** `30s`, `10m`, `400d` → milliseconds; NaN when it is not a duration. */
export function parseDuration (value: string): number {
  return scaled(value, milliseconds)
}

/** `second`, `hour` … or a duration → milliseconds; NaN when it is neither. */
export function parsePeriod (value: string): number {
  return Object.hasOwn(periods, value) ? periods[value] ?? Number.NaN : parseDuration(value)
}

/** Milliseconds → the shortest exact text: `90s`, `1h`, `1d`. */
export function formatDuration (value: number): string {
  const units = Object.entries(milliseconds).reverse()
  const [unit, scale] = units.find(([, size]) => value % size === 0) ?? ['ms', 1]
  return `${value / scale}${unit}`
}

/** Milliseconds → how a limit's name says it: `hour`, `minute`, or a duration such as `30s`. */
export function formatPeriod (value: number): string {
  return Object.entries(periods).find(([, size]) => size === value)?.[0] ?? formatDuration(value)
}

function scaled (text: string, units: Readonly<Record<string, number>>): number {
  const match = /^([0-9]+)([A-Za-z]+)$/.exec(text)
  const scale = Object.hasOwn(units, match?.[2] ?? '') ? units[match?.[2] ?? ''] : undefined
  return match === null || scale === undefined ? Number.NaN : Number(match[1]) * scale
}

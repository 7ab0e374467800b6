import type { Attempt } from '../../db/events.ts'
import { version } from '../version.ts'

/** One attempt in ArcSight's Common Event Format, version 0. What a caller chose can neither end a field nor the line. */
export function cef (attempt: Attempt): string {
  const name = attempt.tool === null ? attempt.method ?? attempt.kind : `${attempt.upstream ?? '?'}/${attempt.tool}`
  const head = ['Portcullis', 'Portcullis', version, attempt.code ?? attempt.kind, name, severityOf(attempt)].map(field => inHead(String(field)))
  const extension = fields.map(([key, value]) => [key, value(attempt)] as const).filter(([, value]) => value !== null)
  return `CEF:0|${head.join('|')}|${extension.map(([key, value]) => `${key}=${inExtension(String(value))}`).join(' ')}`
}

const fields: readonly (readonly [key: string, value: (attempt: Attempt) => string | number | null])[] = [
  ['rt', ({ time }) => time.getTime()],
  ['externalId', ({ record }) => record],
  ['cat', ({ kind }) => kind],
  ['suid', ({ principal_id: id }) => id],
  ['suser', ({ principal }) => principal],
  ['src', ({ source }) => source !== null && /^[\d.]+$/.test(source) ? source : null],
  ['c6a2', ({ source }) => source?.includes(':') === true ? source : null],
  ['act', ({ decision }) => decision],
  ['outcome', ({ outcome }) => outcome],
  ['reason', ({ rule }) => rule],
  ['in', ({ bytes_in: bytes }) => bytes],
  ['out', ({ bytes_out: bytes }) => bytes],
  ['requestClientApplication', ({ client }) => client],
  ['cs1Label', () => 'policy'],
  ['cs1', ({ policy }) => policy],
  ['cs2Label', () => 'digest'],
  ['cs2', ({ digest }) => digest],
]

function severityOf ({ outcome }: Attempt): number {
  return outcome === 'refused' ? 6 : outcome === 'ok' || outcome === null || outcome === 'in_flight' ? 2 : 4
}

function inHead (text: string): string {
  return oneLine(text).replaceAll(/[\\|]/g, '\\$&')
}

function inExtension (text: string): string {
  return oneLine(text).replaceAll(/[\\=]/g, '\\$&')
}

function oneLine (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')
}

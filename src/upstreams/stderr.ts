import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { stripVTControlCharacters } from 'node:util'

export type StderrLevel = 'debug' | 'info' | 'warn' | 'error'

/** Lines of an instance that go to the log in a second; a flood must not drown everybody else's. */
const maxLines = 100
const maxLength = 4_096
/** Shorter values are words that stand everywhere. */
const shortestSecret = 6

/**
 * Cuts the stderr of an instance into lines: without colours and control characters, without its secrets, at most
 * a hundred a second. What is left out is counted and said.
 * @param secrets values that were given to the instance and belong into no log
 */
export function readStderr (stderr: Readable, secrets: readonly string[], onLine: (line: string, level: StderrLevel) => void): void {
  const hidden = secrets.filter((secret) => secret.length >= shortestSecret)
  const decoder = new StringDecoder('utf8')
  let rest = ''
  let left = maxLines
  let since = Date.now()
  stderr.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = (lines.pop() ?? '').slice(-maxLength)
    if (Date.now() - since > 1000) renew()
    for (const line of lines) take(line)
  })
  stderr.once('end', () => {
    take(rest)
    renew()
  })

  function take (raw: string): void {
    const line = hidden.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), clean(raw)).slice(0, maxLength)
    if (line !== '' && --left >= 0) onLine(line, levelOf(line))
  }

  function renew (): void {
    if (left < 0) onLine(`(${-left} more lines were left out)`, 'warn')
    left = maxLines
    since = Date.now()
  }
}

function clean (line: string): string {
  // eslint-disable-next-line no-control-regex -- they would move the cursor of whoever reads the log
  return stripVTControlCharacters(line).replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, '').trim()
}

/** How programs say how bad it is: a word in front, in brackets, or a member of a JSON line. */
const levels: readonly (readonly [level: StderrLevel, pattern: RegExp])[] = [
  ['error', /^(?:\S+ ){0,3}[[(<]?(?:error|err|fatal|critical|panic|exception|traceback)\b|"level":"?(?:error|fatal|critical|50|60)\b|^\w*Error: /i],
  ['warn', /^(?:\S+ ){0,3}[[(<]?warn(?:ing)?\b|"level":"?(?:warn|warning|40)\b|^\(node:\d+\) /i],
  ['debug', /^(?:\S+ ){0,3}[[(<]?(?:debug|trace|verbose)\b|"level":"?(?:debug|trace|20|10)\b/i],
]

function levelOf (line: string): StderrLevel {
  return levels.find(([, pattern]) => pattern.test(line))?.[0] ?? 'info'
}

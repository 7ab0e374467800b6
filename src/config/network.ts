import { isIP } from 'node:net'
import { addressProblem, ranges } from './addresses.ts'
import type { Destination, NetworkSpec } from './config.ts'
import { rangeProblem, readDestination } from './destinations.ts'
import type { Path } from './problems.ts'
import { present } from './reading.ts'
import type { Surroundings } from './reading.ts'
import type { Report } from './report.ts'
import type { RawUpstream } from './schema.ts'

type Raw = Pick<Exclude<NonNullable<RawUpstream['sandbox']>, 'none'>, 'network' | 'private'>

/** `network` and `private` of one sandbox. */
export function readNetwork (raw: Raw, path: Path, { report }: Surroundings): 'none' | NetworkSpec {
  const granted = readRanges(raw.private, [...path, 'private'], report)
  if (raw.network === undefined || raw.network === 'none') {
    if (raw.private !== undefined) report.problem([...path, 'private'], 'means nothing without "network": name the hosts there')
    return 'none'
  }
  return { allow: readDestinations(raw.network, [...path, 'network'], report), private: granted }
}

/** A list of hosts, each with its port. */
export function readDestinations (raw: readonly string[] | undefined, path: Path, report: Report): Destination[] {
  return present(raw).flatMap(([index, text]) => {
    const destination = readDestination(text)
    const problem = typeof destination === 'string' ? destination : literalProblem(destination)
    if (problem !== undefined) report.problem([...path, index], problem)
    return problem === undefined && typeof destination !== 'string' ? [destination] : []
  })
}

/** A list of ranges of addresses. */
export function readRanges (raw: readonly string[] | undefined, path: Path, report: Report): readonly string[] {
  for (const [index, text] of present(raw)) {
    const problem = rangeProblem(text)
    if (problem !== undefined) report.problem([...path, index], problem)
  }
  return raw ?? []
}

/** An address that is written out is granted by that, unless nobody may have it. */
function literalProblem ({ host }: Destination): string | undefined {
  const problem = isIP(host) === 0 ? undefined : addressProblem(host, ranges([host]))
  return problem === undefined ? undefined : `"${host}" cannot be allowed: ${problem}`
}

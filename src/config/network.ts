import { isIP } from 'node:net'
import { addressProblem, ranges } from './addresses.ts'
import type { Destination, NetworkSpec } from './config.ts'
import { rangeProblem, readDestination } from './destinations.ts'
import type { Path } from './problems.ts'
import { present } from './reading.ts'
import type { Surroundings } from './reading.ts'
import type { RawUpstream } from './schema.ts'

type Raw = Pick<Exclude<NonNullable<RawUpstream['sandbox']>, 'none'>, 'network' | 'private'>

/** `network` and `private` of one sandbox. */
export function readNetwork (raw: Raw, path: Path, { report }: Surroundings): 'none' | NetworkSpec {
  for (const [index, text] of present(raw.private)) {
    const problem = rangeProblem(text)
    if (problem !== undefined) report.problem([...path, 'private', index], problem)
  }
  if (raw.network === undefined || raw.network === 'none') {
    if (raw.private !== undefined) report.problem([...path, 'private'], 'means nothing without "network": name the hosts there')
    return 'none'
  }
  const allow: Destination[] = []
  for (const [index, text] of present(raw.network)) {
    const destination = readDestination(text)
    const problem = typeof destination === 'string' ? destination : literalProblem(destination)
    if (problem !== undefined) report.problem([...path, 'network', index], problem)
    else if (typeof destination !== 'string') allow.push(destination)
  }
  return { allow, private: raw.private ?? [] }
}

/** An address that is written out is granted by that, unless nobody may have it. */
function literalProblem ({ host }: Destination): string | undefined {
  const problem = isIP(host) === 0 ? undefined : addressProblem(host, ranges([host]))
  return problem === undefined ? undefined : `"${host}" cannot be allowed: ${problem}`
}

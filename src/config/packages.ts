import { isIP } from 'node:net'
import { addressProblem, ranges } from './addresses.ts'
import { hostName } from './destinations.ts'
import { readDestinations, readRanges } from './network.ts'
import type { PackagesSpec } from './config.ts'
import type { Surroundings } from './reading.ts'
import type { RawConfig } from './schema.ts'

/** `packages`: which registries there are, and what may be reached for them. */
export function readPackages (raw: RawConfig['packages'] = {}, { report }: Surroundings): PackagesSpec {
  for (const key of ['npm', 'pypi'] as const) {
    const problem = raw[key] === undefined ? undefined : registryProblem(raw[key], raw.private !== undefined)
    if (problem !== undefined) report.problem(['packages', key], problem)
  }
  return {
    npm: raw.npm,
    pypi: raw.pypi,
    hosts: readDestinations(raw.hosts, ['packages', 'hosts'], report),
    private: readRanges(raw.private, ['packages', 'private'], report),
  }
}

function registryProblem (text: string, isPrivate: boolean): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) return `"${text}" is not an address`
  if (url.username !== '' || url.password !== '') return 'must hold no credentials: an installation is given no secrets'
  const host = hostName(url.hostname)
  const isNear = isPrivate || (isIP(host) !== 0 && addressProblem(host, ranges([])) !== undefined)
  return url.protocol === 'https:' || isNear ? undefined : 'must begin with https://. Only a private address may do without, granted with "private"'
}

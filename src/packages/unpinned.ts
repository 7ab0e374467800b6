import type { Config, NetworkSpec, PackagesSpec, UpstreamSpec } from '../config/config.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { Unpinnable } from '../sandbox/unpinnable.ts'
import { trust } from './registry.ts'
import { readWanted } from './wanted.ts'

/** An upstream that runs unpinned: it downloads its program by itself whenever it starts. */
export interface Unpinned {
  readonly upstream: string
  /** Why its package cannot be pinned. */
  readonly why: string
  /** The hosts that it may reach, each with its port. */
  readonly reaches: readonly string[]
}

type Spec = Pick<UpstreamSpec, 'name' | 'command' | 'remote' | 'sandbox'>

/** Modes whose programs are those of an image, under the image's own paths. */
const imaged: ReadonlySet<string> = new Set(['docker'])

/** Whether what an upstream runs is looked for on this host. */
export function isOfHost ({ remote, sandbox }: Pick<Spec, 'remote' | 'sandbox'>): boolean {
  return remote === undefined && !imaged.has(sandbox.mode)
}

/**
 * The upstream as one that is not pinned; undefined when it names no package, or one that can be pinned.
 * @throws SandboxError while no host is named that it may reach, which is the consent to it; and for what is no command at all
 */
export function unpinned (spec: Spec, command: readonly string[], packages: PackagesSpec): Unpinned | undefined {
  if (!isOfHost(spec)) return undefined
  const obstacle = obstacleOf(command)
  if (obstacle === undefined) return undefined
  const { name: upstream, sandbox: { network } } = spec
  const why = obstacleOf(spec.command)?.reason ?? byReference // as it is written: a reference may have become a secret
  if (network === 'none') throw new SandboxError(`${why} It cannot be pinned, so it is refused.`, `${obstacle.hint ?? ''} Or let it download its program, unpinned, whenever it starts: name the hosts it may reach for that, as in upstreams.${upstream}.sandbox.network: [${hostsFor(command, obstacle, packages).join(', ')}].`.trim())
  return { upstream, why, reaches: shown(network) }
}

/** Every upstream of a configuration that runs unpinned, and why those that would have to are refused. */
export function unpinnedIn ({ upstreams, packages }: Pick<Config, 'upstreams' | 'packages'>): { readonly running: readonly Unpinned[], readonly refused: readonly { readonly upstream: string, readonly reason: string }[] } {
  const running: Unpinned[] = []
  const refused: { upstream: string, reason: string }[] = []
  for (const spec of upstreams.values()) {
    try {
      const found = unpinned(spec, spec.command, packages)
      if (found !== undefined) running.push(found)
    } catch (error) {
      refused.push({ upstream: spec.name, reason: error instanceof Error ? error.message : String(error) })
    }
  }
  return { running, refused }
}

/** What an operator reads of it, wherever it is said. */
export function sentenceOf ({ upstream, why, reaches }: Unpinned): string {
  return `${upstream} is NOT pinned: ${why} Whenever it starts it downloads whatever ${reaches.join(', ')} has, and runs that.`
}

/** What npm, uv and pip are told in a cell: the registries of the configuration, and the certificates of this machine. */
export function toolSettings ({ npm, pypi }: PackagesSpec): Record<string, string> {
  return {
    npm_config_update_notifier: 'false',
    ...(npm === undefined ? {} : { npm_config_registry: npm }),
    ...(pypi === undefined ? {} : { UV_DEFAULT_INDEX: pypi, PIP_INDEX_URL: pypi }),
    ...trust('NODE_EXTRA_CA_CERTS'),
    ...trust('SSL_CERT_FILE'),
    ...trust('PIP_CERT'),
  }
}

const byReference = 'Its package is named by a reference, and not one of the registry.'

function obstacleOf (command: readonly string[]): Unpinnable | undefined {
  try {
    readWanted(command)
    return undefined
  } catch (error) {
    if (error instanceof Unpinnable) return error
    throw error
  }
}

/** What would have to be named, as far as the command says it. */
function hostsFor ([launcher = '']: readonly string[], { from }: Unpinnable, { npm, pypi }: PackagesSpec): string[] {
  const registries = launcher.endsWith('npx') ? [npm ?? 'https://registry.npmjs.org/'] : pypi === undefined ? ['https://pypi.org/', 'https://files.pythonhosted.org/'] : [pypi]
  return [...new Set([...registries, ...from].flatMap(hostOf))]
}

function hostOf (address: string): string[] {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || url.hostname === '') return []
  return [url.port === '' && url.protocol !== 'http:' ? url.hostname : `"${url.hostname}:${url.port === '' ? 80 : url.port}"`]
}

function shown ({ allow }: NetworkSpec): string[] {
  return allow.map(({ host, port }) => `${host}:${port}`)
}

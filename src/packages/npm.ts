import { join } from 'node:path'
import type { PackagesSpec } from '../config/config.ts'
import { isObject } from '../protocol/message.ts'
import type { Host } from '../sandbox/host.ts'
import { programIn } from '../sandbox/npx.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import { isPlan } from './pin.ts'
import type { Pin, Plan } from './pin.ts'
import type { Registry } from './registry.ts'
import { networkOf, trust } from './registry.ts'
import type { Wanted } from './wanted.ts'
import { inner } from './workshop.ts'
import type { Workshop } from './workshop.ts'

/** The npm registry, by npm itself. No script of any package is run. */
export function npmRegistry (spec: PackagesSpec, host: Host): Registry {
  return { resolve, install, command }

  async function resolve ({ name, range }: Wanted, workshop: Workshop): Promise<Plan> {
    const registry = await address(workshop)
    workshop.write('package.json', manifest({ [name]: range ?? 'latest' }))
    await npm(workshop, ['install', '--package-lock-only', '--omit-lockfile-registry-resolved'], registry)
    const lock: unknown = JSON.parse(workshop.read('package-lock.json'))
    const plan = { npm: lock }
    if (!isPlan(plan)) throw new SandboxError('npm wrote a package-lock.json that cannot be understood.', 'Install npm 9 or newer.')
    return plan
  }

  /** npm holds every archive against the integrity in the lock, and stops at the first that differs. */
  async function install ({ plan }: Pin, workshop: Workshop): Promise<void> {
    if (!('npm' in plan)) throw new SandboxError('The lock file names a package of another registry.')
    const root = plan.npm.packages['']?.['dependencies']
    workshop.write('package.json', manifest(isObject(root) ? root : {}))
    workshop.write('package-lock.json', JSON.stringify(plan.npm))
    await npm(workshop, ['ci'], await address(workshop))
  }

  function command ({ name, program, rest }: Wanted, folder: string): { command: string[], env: Record<string, string> } {
    return { command: ['node', programIn(join(folder, 'node_modules'), name, program, host), ...rest], env: {} }
  }

  /** What the configuration says, else where npm goes when nobody tells it. */
  async function address (workshop: Workshop): Promise<string> {
    return spec.npm ?? (await workshop.run([...tool(), 'config', 'get', 'registry'], settings, 'none')).trim()
  }

  async function npm (workshop: Workshop, words: readonly string[], registry: string): Promise<void> {
    await workshop.run([...tool(), ...words, ...flags], { ...settings, npm_config_registry: registry }, networkOf(registry, [], spec))
  }

  function tool (): string[] {
    const npm = host.lookup('npm')
    const script = npm === undefined ? undefined : host.real(npm)
    if (script === undefined) throw new SandboxError('npm was not found on the gateway\'s PATH, and npx packages are installed by it.', 'Install npm, or install the package beside upstreams.yaml on another machine.')
    return ['node', script]
  }
}

const flags = ['--ignore-scripts', '--omit=dev', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error']
/** npm waits a minute between its tries, unless it is told otherwise, and also tries an archive again that is not what it should be. */
const patience = { npm_config_fetch_retries: '2', npm_config_fetch_retry_mintimeout: '500', npm_config_fetch_retry_maxtimeout: '2000' }
const settings = { ...trust('NODE_EXTRA_CA_CERTS'), ...patience, npm_config_cache: `${inner}/.tmp/npm`, npm_config_ignore_scripts: 'true' }

function manifest (dependencies: object): string {
  return JSON.stringify({ name: 'pinned', version: '0.0.0', private: true, dependencies })
}

import type { Config } from '../../config/config.ts'
import { openRedis } from '../../limits/redis.ts'
import { createLogger } from '../../log.ts'
import { sentenceOf, unpinnedIn } from '../../packages/unpinned.ts'
import { openSandbox } from '../../sandbox/sandbox.ts'
import { failed, guarded, ok, warning } from './finding.ts'
import type { Finding } from './finding.ts'

/** The sandbox of each kind that the configuration asks for, tried on this machine. */
export async function checkSandboxes ({ upstreams, path, allowUnsandboxed }: Pick<Config, 'upstreams' | 'path' | 'allowUnsandboxed'>): Promise<Finding[]> {
  const modes = new Set([...upstreams.values()].flatMap(({ remote, sandbox }) => remote === undefined ? [sandbox.mode] : []))
  return (await Promise.all([...modes].map(async (mode) => await guarded(`sandbox ${mode}`, async () => {
    if (mode === 'none') return [warning('sandbox none', 'There are servers without a sandbox: they may do everything the user of the gateway may.', 'Take `sandbox: none` out of upstreams.yaml.')]
    const tested = await openSandbox(mode, { allowUnsandboxed, ...(path === undefined ? {} : { path }) }).selfTest()
    return [tested.ok ? ok(`sandbox ${mode}`, 'It confines on this machine.') : failed(`sandbox ${mode}`, tested.reason, tested.hint)]
  })))).flat()
}

/** Packages that nothing holds to what was approved, and those that are refused for it. */
export function checkPackages (config: Pick<Config, 'upstreams' | 'packages'>): Finding[] {
  const { running, refused } = unpinnedIn(config)
  return [
    ...running.map((each) => warning('packages', sentenceOf(each), 'Name a package of the registry, which is pinned, if there is one.')),
    ...refused.map(({ upstream, reason }) => failed('packages', `${upstream} is refused: ${reason}`)),
  ]
}

/** Redis, where limits are counted in it. */
export async function checkRedis (url: string | undefined): Promise<Finding[]> {
  if (url === undefined) return []
  const redis = await openRedis(url, createLogger({ level: 'silent' }))
  try {
    return await guarded('redis', async () => {
      await redis.ping()
      return [ok('redis', 'It answers.')]
    }, 'Calls that are limited are refused until it is back. Check REDIS_URL and that Redis runs there.')
  } finally {
    redis.disconnect()
  }
}

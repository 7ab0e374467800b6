import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'

import { isWithin } from './grants.ts'
import { references } from './references.ts'
import { openSecrets, places } from './secrets.ts'
import type { Config, UpstreamSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Report } from './report.ts'

/** What is allowed but probably not meant, in a configuration without problems. */
export function warn (config: Config, report: Report): void {
  for (const upstream of config.upstreams.values()) {
    warnOfSecrets(upstream, config.data, report)
    warnOfGrants(upstream, report)
    warnOfDirectory(upstream, report)
  }
  warnOfSharedWrites([...config.upstreams.values()], report)
  warnOfPolicy(config, report)
  warnOfModes(config.data, report)
}

function warnOfSecrets ({ name, command, env, remote }: UpstreamSpec, data: string, report: Report): void {
  const texts: [Path, string][] = [...command.map((text): [Path, string] => [['upstreams', name, 'command'], text]), ...Object.entries(env).map(([key, text]): [Path, string] => [['upstreams', name, 'env', key], text]), ...Object.entries(remote?.headers ?? {}).map(([key, text]): [Path, string] => [['upstreams', name, 'headers', key], text])]
  const wanted = new Map(texts.flatMap(([path, text]) => references(text).filter(({ kind }) => kind === 'secret').map((reference): [string, Path] => [reference.name, path])))
  for (const [secret, path] of wanted) {
    const problem = secretDoubt(secret, data)
    if (problem !== undefined) report.warning(path, problem)
  }
}

function secretDoubt (name: string, data: string): string | undefined {
  try {
    if (openSecrets(data)(name) !== undefined) return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  const users = usersWith(name, data)
  const where = places(data, name).join(' or ')
  return users === 0
    ? `the secret "${name}" does not exist: put it into ${where}, or one for each user into ${join(data, 'secrets', 'users', '<user>', name)}`
    : `the secret "${name}" exists for ${users} user${users === 1 ? '' : 's'} only; others need their own, or a common one in ${where}`
}

function usersWith (name: string, data: string): number {
  try {
    const users = join(data, 'secrets', 'users')
    return readdirSync(users).filter((user) => existsSync(join(users, user, name))).length
  } catch {
    return 0
  }
}

function warnOfGrants ({ name, sandbox }: UpstreamSpec, report: Report): void {
  for (const access of ['read', 'write'] as const) {
    sandbox[access].forEach(({ source }, index) => {
      if (!existsSync(source)) report.warning(['upstreams', name, 'sandbox', access, index], `"${source}" does not exist: the server cannot start until it does`)
    })
  }
}

/** What is always there inside a sandbox. */
const present = ['/tmp', '/home/mcp', '/usr', '/']

function warnOfDirectory ({ name, cwd, sandbox }: UpstreamSpec, report: Report): void {
  if (cwd === undefined || sandbox.mode === 'none' || cwd === '/') return
  const visible = [...sandbox.read, ...sandbox.write].map(({ target }) => target).concat(present.filter((path) => path !== '/'))
  if (!visible.some((path) => isWithin(cwd, path))) report.warning(['upstreams', name, 'cwd'], `"${cwd}" is not visible inside the sandbox: grant it under sandbox.read or sandbox.write`)
}

function warnOfSharedWrites (upstreams: readonly UpstreamSpec[], report: Report): void {
  const writes = upstreams.flatMap(({ name, sandbox }) => sandbox.write.map(({ source }, index) => ({ name, source, index })))
  writes.forEach((one, position) => {
    const other = writes.slice(0, position).find(({ name, source }) => name !== one.name && (isWithin(source, one.source) || isWithin(one.source, source)))
    if (other !== undefined) report.warning(['upstreams', one.name, 'sandbox', 'write', one.index], `the upstream "${other.name}" may write there too: what one writes, the other believes`)
  })
}

function warnOfPolicy ({ roles, limits }: Config, report: Report): void {
  for (const { name, allow } of roles.values()) {
    if (allow.length === 0) report.warning(['roles', name], `the role "${name}" allows nothing`, 'key')
  }
  if (limits.length === 0) report.warning(['limits'], 'there are no limits at all', 'key')
}

function warnOfModes (data: string, report: Report): void {
  const secrets = join(data, 'secrets')
  try {
    if ((statSync(secrets).mode & 0o077) !== 0) report.variableWarning('PORTCULLIS_DATA', `other people on this machine can read ${secrets}: run chmod -R go= ${secrets}`)
  } catch {
    // No secrets are stored here: nothing to protect.
  }
}

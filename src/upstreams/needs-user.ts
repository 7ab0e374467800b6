import { references } from '../config/references.ts'
import type { UpstreamSpec } from '../config/config.ts'
import type { Secrets } from '../config/secrets.ts'

/** Why an upstream can only be started for a user, as a sentence; undefined when nothing of it depends on one. */
export function needsUser (spec: UpstreamSpec, secrets: Secrets): string | undefined {
  const { command, env, remote } = spec
  const wanted = [...command, ...Object.values(env), ...Object.values(remote?.headers ?? {})].flatMap(references)
  const user = spec.isolation === 'shared' ? undefined : wanted.find(({ kind }) => kind === 'user')
  if (user !== undefined) return `It is started for a user (\${${user.name}}): nobody can say how it is without one.`
  const missing = wanted.find(({ kind, name }) => kind === 'secret' && secrets(name) === undefined)
  return missing === undefined ? undefined : `The secret ${missing.name} is not there for everybody: only for a user who has one of their own it can be started.`
}

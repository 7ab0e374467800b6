import { isIP } from 'node:net'
import { dirname, resolve } from 'node:path'

import { didYouMean } from './nearest.ts'
import type { Report } from './report.ts'

/** What the command line can say beside the environment. */
export interface Flags {
  /** upstreams.yaml, instead of PORTCULLIS_CONFIG. */
  readonly file?: string | undefined
  /** Whether `sandbox: none` may be used. */
  readonly allowUnsandboxed?: boolean | undefined
}

/** What the environment decides. */
export interface Settings {
  readonly host: string
  readonly port: number
  readonly publicUrl: string
  readonly metrics: { readonly host: string, readonly port: number }
  readonly data: string
  readonly databaseUrl: string | undefined
  readonly redisUrl: string | undefined
  readonly logLevel: string
  readonly path: string | undefined
  readonly adminPassword: string | undefined
}

export const variables = [
  'HOST', 'PORT', 'PUBLIC_URL', 'DATABASE_URL', 'REDIS_URL', 'LOG_LEVEL', 'METRICS_HOST', 'METRICS_PORT',
  'PORTCULLIS_CONFIG', 'PORTCULLIS_DATA', 'PORTCULLIS_ADMIN_PASSWORD',
] as const

/** Those that hold a password: no server may be given them. */
export const ownSecrets: ReadonlySet<string> = new Set(['DATABASE_URL', 'REDIS_URL', 'PORTCULLIS_ADMIN_PASSWORD'])

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

/** The environment of this process; nothing else reads it. */
export function environment (): NodeJS.ProcessEnv {
  return process.env
}

/** Absolute path of upstreams.yaml: the flag, else PORTCULLIS_CONFIG, else here. */
export function configFile (env: NodeJS.ProcessEnv, flags: Flags): string {
  return resolve(flags.file ?? given(env, 'PORTCULLIS_CONFIG') ?? 'upstreams.yaml')
}

/** Checks every variable; what is wrong goes to the report and the default stands in for it. */
export function readEnvironment (env: NodeJS.ProcessEnv, file: string, report: Report): Settings {
  const host = hostOf(env, 'HOST', report)
  const port = portOf(env, 'PORT', 8080, report)
  const metrics = { host: hostOf(env, 'METRICS_HOST', report), port: portOf(env, 'METRICS_PORT', 9464, report) }
  if (port !== 0 && metrics.port === port && metrics.host === host) report.variable('METRICS_PORT', `must differ from PORT (${port}): metrics have a listener of their own`)
  warnOfUnknown(env, report)
  return {
    host,
    port,
    metrics,
    publicUrl: publicUrlOf(env, host, port, report),
    data: resolve(given(env, 'PORTCULLIS_DATA') ?? resolve(dirname(file), '.portcullis')),
    databaseUrl: urlOf(env, 'DATABASE_URL', ['postgres:', 'postgresql:'], 'postgres://user:password@host:5432/name', report),
    redisUrl: urlOf(env, 'REDIS_URL', ['redis:', 'rediss:'], 'redis://host:6379', report),
    logLevel: logLevelOf(env, report),
    path: searchPath(env),
    adminPassword: given(env, 'PORTCULLIS_ADMIN_PASSWORD'),
  }
}

/** An empty variable counts as absent: compose files pass `NAME=` for what nobody set. */
function given (env: NodeJS.ProcessEnv, name: typeof variables[number]): string | undefined {
  const value = env[name]
  return value === undefined || value === '' ? undefined : value
}

function hostOf (env: NodeJS.ProcessEnv, name: 'HOST' | 'METRICS_HOST', report: Report): string {
  const value = given(env, name) ?? '127.0.0.1'
  // What ends in a number and is no address, such as 999.1.1.1, is no name either.
  if (isIP(value) === 0 && !(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(value) && URL.canParse(`http://${value}`))) {
    report.variable(name, `must be an address or a name of this machine to listen on, such as 127.0.0.1, 0.0.0.0 or localhost, got ${JSON.stringify(value)}`)
  }
  return value
}

function portOf (env: NodeJS.ProcessEnv, name: 'PORT' | 'METRICS_PORT', fallback: number, report: Report): number {
  const value = given(env, name)
  if (value === undefined) return fallback
  if (/^[0-9]{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value)
  report.variable(name, `must be a port from 0 to 65535, got ${JSON.stringify(value)}`)
  return fallback
}

function publicUrlOf (env: NodeJS.ProcessEnv, host: string, port: number, report: Report): string {
  const value = given(env, 'PUBLIC_URL')
  if (value === undefined) {
    const reachable = host === '0.0.0.0' || host === '::' ? 'localhost' : host
    return `http://${isIP(reachable) === 6 ? `[${reachable}]` : reachable}:${port}`
  }
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    report.variable('PUBLIC_URL', `must be the address clients use, such as https://mcp.example.com, got ${JSON.stringify(value)}`)
  } else if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '') {
    report.variable('PUBLIC_URL', `must have no path, query or password: ${url.origin}`)
  } else if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    report.variableWarning('PUBLIC_URL', 'is plain http: passwords and tokens cross the network readable. Put TLS in front and write https://')
  }
  return url?.origin ?? ''
}

function isLoopback (hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.') || hostname.endsWith('.localhost')
}

/** Such an address usually holds a password, so the message never repeats it. */
function urlOf (env: NodeJS.ProcessEnv, name: 'DATABASE_URL' | 'REDIS_URL', protocols: readonly string[], example: string, report: Report): string | undefined {
  const value = given(env, name)
  if (value === undefined) return undefined
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || !protocols.includes(url.protocol)) report.variable(name, `must be an address such as ${example}`)
  return value
}

/** The absolute parts of PATH: what lies in the working directory by chance is no program of an upstream. */
function searchPath (env: NodeJS.ProcessEnv): string | undefined {
  const parts = (env['PATH'] ?? '').split(':').filter((part) => part.startsWith('/'))
  return parts.length === 0 ? undefined : parts.join(':')
}

function logLevelOf (env: NodeJS.ProcessEnv, report: Report): string {
  const value = given(env, 'LOG_LEVEL') ?? 'info'
  if (!logLevels.includes(value)) report.variable('LOG_LEVEL', `must be one of ${logLevels.join(', ')}, got ${JSON.stringify(value)}${didYouMean(value, logLevels)}`)
  return value
}

function warnOfUnknown (env: NodeJS.ProcessEnv, report: Report): void {
  const known: readonly string[] = variables
  for (const name of Object.keys(env)) {
    if (name.startsWith('PORTCULLIS_') && !known.includes(name)) report.variableWarning(name, `is not a variable Portcullis knows${didYouMean(name, known)}`)
  }
}

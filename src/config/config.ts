import { ConfigError } from './problems.ts'
import { readConfig } from './read.ts'
import type { AskKind } from '../protocol/capabilities.ts'
import type { Flags } from './environment.ts'
import type { IdentitySpec } from './identity-spec.ts'

export { ConfigError } from './problems.ts'
export { resolveReferences } from './references.ts'

/** Everything Portcullis was told, checked, complete and frozen. */
export interface Config {
  /** Absolute path of upstreams.yaml. */
  readonly file: string
  /** Its directory: relative paths and npx packages resolve from here. */
  readonly directory: string
  /** Absolute path of the directory where the gateway keeps what it owns. */
  readonly data: string
  readonly server: ServerSpec
  readonly metrics: { readonly host: string, readonly port: number }
  /** undefined = the embedded database. */
  readonly databaseUrl: string | undefined
  readonly redisUrl: string | undefined
  readonly logLevel: string
  /** Where programs of upstreams are looked up; undefined = the directories of the system. */
  readonly path: string | undefined
  readonly adminPassword: string | undefined
  readonly allowUnsandboxed: boolean
  readonly upstreams: ReadonlyMap<string, UpstreamSpec>
  readonly roles: ReadonlyMap<string, RoleSpec>
  readonly limits: readonly LimitSpec[]
  readonly guards: GuardSpec
  /** How many upstream processes there may be at a time. */
  readonly instances: { readonly total: number, readonly perUpstream: number, readonly perUser: number }
  readonly packages: PackagesSpec
  readonly health: HealthSpec
  readonly audit: AuditSpec
  readonly oauth: OAuthSpec
  readonly identity: IdentitySpec
  /** First 12 hex digits of the SHA-256 of the file: the policy version in records. */
  readonly version: string
}

export interface ServerSpec {
  readonly host: string
  /** 0 = any free port. */
  readonly port: number
  /** Origin under which clients reach the gateway, without a trailing slash. */
  readonly publicUrl: string
  /** Host names accepted beside those of publicUrl and the loopback. */
  readonly hosts: readonly string[]
  readonly origins: readonly string[]
  /** Bytes. */
  readonly maxBody: number
}

/** How it is known whether upstreams are ready. */
export interface HealthSpec {
  /** How often an upstream that is in use is asked for its list, in milliseconds. */
  readonly every: number
  /** Whether an upstream that is not in use is started to be looked at. */
  readonly probe: boolean
  /** Without these the gateway is not ready. */
  readonly required: readonly string[]
}

/** Where packages of npx, uvx and pipx commands are installed from. */
export interface PackagesSpec {
  /** Address of the registry; undefined: the one that npm goes to when nobody tells it. */
  readonly npm: string | undefined
  /** Address of the index; undefined: the one that pip goes to when nobody tells it. */
  readonly pypi: string | undefined
  /** Further hosts that deliver archives. */
  readonly hosts: readonly Destination[]
  /** Private ranges that their names may lead to. */
  readonly private: readonly string[]
}

export interface OAuthSpec {
  /** Whether clients may register themselves. */
  readonly registration: boolean
  readonly clientDocuments: 'off' | 'pinned' | 'fetch'
  /** Address of a client's document → its text. */
  readonly pinned: Readonly<Record<string, string>>
}

export interface UpstreamSpec {
  /** [a-z0-9][a-z0-9-]{0,31}: never holds an underscore, so `upstream__tool` splits in one way only. */
  readonly name: string
  /** Where the server is reached, when it is a remote one; there is no command then. */
  readonly remote: RemoteSpec | undefined
  /** Program and arguments. `${secret:…}` and `${user.…}` are still in place, `${env:…}` is resolved. */
  readonly command: readonly string[]
  /** Values as in `command`. */
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string | undefined
  readonly isolation: 'user' | 'session' | 'shared'
  readonly sandbox: SandboxSpec
  /** What the server may ask of the client while it works on a call. */
  readonly asks: readonly AskKind[]
  /** Known to ask: its calls take turns from the beginning, so that every question finds its call. */
  readonly takesTurns: boolean
  /** Milliseconds. */
  readonly timeouts: { readonly start: number, readonly call: number, readonly idle: number }
}

export interface RemoteSpec {
  readonly url: string
  /** Sent with every request. Values as in `command`; names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Ranges of private addresses that the name in `url` may have. */
  readonly private: readonly string[]
}

/** How a server is confined. */
export type SandboxMode = 'bubblewrap' | 'landlock' | 'docker' | 'seatbelt' | 'none'

/** Sizes in bytes. */
export interface SandboxSpec {
  readonly mode: SandboxMode
  /** The container image, with `docker` and only then. */
  readonly image?: string
  readonly read: readonly Grant[]
  readonly write: readonly Grant[]
  readonly network: 'none' | NetworkSpec
  readonly memory: number
  readonly processes: number
  readonly fileSize: number
  readonly openFiles: number
  readonly tmp: number
  /** 0: as the gateway itself; up to 19: others go first. */
  readonly nice: number
}

/** What a server may reach through the gateway's proxy. */
export interface NetworkSpec {
  readonly allow: readonly Destination[]
  /** Private ranges that names may lead to. */
  readonly private: readonly string[]
}

/** `host` is lower case; `*.` in front stands for every name below. */
export interface Destination { readonly host: string, readonly port: number }

/** `source` on this machine, seen by the server as `target`; both absolute. */
export interface Grant { readonly source: string, readonly target: string }

export interface RoleSpec { readonly name: string, readonly allow: readonly RuleSpec[], readonly deny: readonly RuleSpec[] }

export interface RuleSpec {
  /** Absent: tools, prompts and resources alike. */
  readonly kind?: 'tool' | 'prompt' | 'resource'
  /** `upstream/name`, `*` stands for anything. */
  readonly pattern: string
  /** CEL over args, principal, tool and upstream. */
  readonly where?: string
  /** Where it stands in the file. */
  readonly line: number
}

export interface LimitSpec {
  readonly calls: number
  /** Milliseconds. */
  readonly per: number
  readonly by: readonly ('user' | 'tool' | 'upstream' | 'role' | 'address')[]
  /** Pattern over `upstream/tool`; absent: every call counts. */
  readonly tool?: string
  readonly line: number
  /** For people, for example `60 per hour by user, tool`. */
  readonly name: string
}

export interface DenyPattern {
  readonly name: string
  /** RE2 syntax. */
  readonly pattern: string
  readonly in: 'arguments'
  readonly tool?: string
  /** 0 for the patterns that ship with Portcullis. */
  readonly line: number
}

/** Sizes in bytes. */
export interface GuardSpec { readonly deny: readonly DenyPattern[], readonly maxArguments: number, readonly maxResult: number }

export interface AuditSpec {
  readonly arguments: 'none' | 'digest' | 'redacted' | 'full'
  readonly durability: 'fsync' | 'os' | 'database'
  /** Tools whose calls go on when they cannot be recorded, if they only read; none: every call is refused. */
  readonly onFailure: { readonly allow: readonly string[] }
  /** Names and paths redacted beside the built-in names. */
  readonly redact: readonly string[]
  /** The first that matches counts; none: nothing is kept. */
  readonly payloads: readonly PayloadSpec[]
  readonly sinks: readonly SinkSpec[]
  /** Milliseconds the ledger may run ahead of the database. */
  readonly maxOutage: number
  /** Bytes the ledger may hold on disk for the database. */
  readonly spoolMax: number
  /** Milliseconds after which a head that has moved is signed. */
  readonly checkpointEvery: number
  /** Where signed heads go beside the database and the file. */
  readonly anchor: string | undefined
  /** Milliseconds records are kept; undefined: for ever. */
  readonly retention: number | undefined
  /** Absolute path of the directory where what retention takes out is archived. */
  readonly archive: string | undefined
}

/** A place outside that gets every attempt. */
export interface SinkSpec {
  readonly url: string
  readonly format: 'ndjson' | 'ocsf' | 'cef'
  /** Absolute path. */
  readonly tokenFile: string | undefined
  /** Milliseconds it may be behind. */
  readonly maxLag: number
  readonly onLag: 'wait' | 'deny'
}

/** What is kept of the arguments and the result of a call, sealed. */
export interface PayloadSpec {
  readonly keep: 'none' | 'digest' | 'redacted' | 'full'
  /** Pattern over upstream/name; undefined: all. */
  readonly tool: string | undefined
  /** Bytes of each. */
  readonly max: number
}

/** Reads the environment and upstreams.yaml. Throws one ConfigError with every problem found. */
export function loadConfig (env: NodeJS.ProcessEnv, flags: Flags = {}): Config {
  const { config, problems } = readConfig(env, flags)
  if (config === undefined) throw new ConfigError(problems)
  return config
}

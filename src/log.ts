import pino from 'pino'
import type { DestinationStream, Logger } from 'pino'

/** What every part logs to; Fastify takes it as its `loggerInstance`. */
export type Log = Logger

export interface LogOptions {
  /** A pino level, or `silent`. */
  readonly level: string
  /** Where the lines go; standard output when left out. */
  readonly stream?: DestinationStream
}

/**
 * A JSON logger that cannot be talked into printing a credential: members with a telling name are blanked at any
 * depth, requests and errors are cut down to named fields, and text that looks like a credential is blanked in the
 * finished line.
 */
export function createLogger ({ level, stream }: LogOptions): Log {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { req: describeRequest, res: describeReply, err: describeError, error: describeError, cause: describeError },
    formatters: { level: (label: string) => ({ level: label }), log: blankMembers },
    hooks: { streamWrite: blankText },
  }
  return blankBindings(stream === undefined ? pino(options) : pino(options, stream))
}

/** Formatters do not see what a child is given (pino 10, lib/proto.js), and children inherit this from their parent. */
function blankBindings (log: Log): Log {
  const { child } = log
  log.child = function (this: Log, bindings, options) {
    return child.call(this, blankMembers(bindings), options)
  } as Log['child']
  return log
}

const BLANK = '[redacted]'

/** Names are compared in lower case without `-` and `_`, so `Set-Cookie` and `access_token` are met in any spelling. */
const SECRET_NAMES = new Set([
  'authorization', 'proxyauthorization', 'cookie', 'cookies', 'setcookie', 'headers', 'rawheaders', 'trailers',
  'password', 'passwd', 'passphrase', 'pwd', 'secret', 'secrets', 'clientsecret', 'credential', 'credentials',
  'token', 'tokens', 'accesstoken', 'refreshtoken', 'idtoken', 'bearer', 'jwt', 'assertion', 'clientassertion',
  'codeverifier', 'apikey', 'xapikey', 'privatekey', 'signingkey', 'databaseurl', 'redisurl', 'connectionstring',
  'adminpassword', 'portcullisadminpassword', 'env', 'environ',
])

const judged = new Map<string, boolean>()

/** Deeper than this nothing is logged: a log line describes, it does not archive. */
const MAX_DEPTH = 6

type Members = Record<string, unknown>

function blankMembers (members: Members): Members {
  return blankWithin(members, 0)
}

/** Copies only when something has to go, since most lines hold nothing secret. */
function blankWithin (members: Members, depth: number): Members {
  let copy: Members | undefined
  for (const [name, value] of Object.entries(members)) {
    const clean = isSecretName(name) ? BLANK : blankValue(value, depth + 1)
    if (clean !== value) {
      copy ??= { ...members }
      copy[name] = clean
    }
  }
  return copy ?? members
}

function blankValue (value: unknown, depth: number): unknown {
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return depth > MAX_DEPTH ? '[deep]' : blankList(value, depth)
  if (!isPlain(value)) return value
  return depth > MAX_DEPTH ? '[deep]' : blankWithin(value, depth)
}

function blankList (list: readonly unknown[], depth: number): unknown {
  let changed = false
  const copy = list.map(value => {
    const clean = blankValue(value, depth + 1)
    changed ||= clean !== value
    return clean
  })
  return changed ? copy : list
}

/** The same few names come again and again; what is asked first is remembered. */
function isSecretName (name: string): boolean {
  const known = judged.get(name)
  if (known !== undefined) return known
  const secret = SECRET_NAMES.has(name.toLowerCase().replaceAll(/[-_]/g, ''))
  if (judged.size < 1000) judged.set(name, secret)
  return secret
}

/** Requests, replies and errors are class instances and have serializers of their own. */
function isPlain (value: object): value is Members {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** The query is left out: login codes and tokens of other systems travel there. */
function describeRequest (request: { method?: string, url?: string, ip?: string, socket?: { remoteAddress?: string | undefined } }): Members {
  return {
    method: request.method,
    path: request.url?.split('?', 1)[0],
    remoteAddress: request.ip ?? request.socket?.remoteAddress,
  }
}

function describeReply (reply: { statusCode?: number }): Members {
  return { statusCode: reply.statusCode }
}

/** Only the fields named here: libraries hang requests, queries and connection strings on their errors. */
function describeError (error: unknown): unknown {
  return describeCause(error, 0)
}

function describeCause (error: unknown, depth: number): unknown {
  if (!(error instanceof Error)) return error
  const { code, syscall, errno } = error as NodeJS.ErrnoException
  return {
    type: error.name,
    message: error.message,
    ...(code !== undefined && { code }),
    ...(syscall !== undefined && { syscall, errno }),
    stack: error.stack,
    ...(error instanceof AggregateError && depth < MAX_DEPTH && { errors: error.errors.slice(0, 5).map(each => describeCause(each, depth + 1)) }),
    ...(error.cause !== undefined && depth < MAX_DEPTH && { cause: describeCause(error.cause, depth + 1) }),
  }
}

/** `Bearer …`, a personal token, a JWT, or the user part of a URL, wherever in the finished line it stands. */
const SECRET_TEXT = /\bBearer\s+[\w.~+/=-]{8,}|\bportcullis_pat_[\w-]{8,}|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}|(?<=:\/\/)[^/\s@"\\]+(?=@)/gi

function blankText (line: string): string {
  return line.replaceAll(SECRET_TEXT, BLANK)
}

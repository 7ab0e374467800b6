/**
 * Every refusal Portcullis can answer with, in one table. A refusal is a value: the code is the contract,
 * the message is public, the private reason travels as `cause` and goes to the log only.
 */

/** How a refusal reaches the client: as an HTTP status, a JSON-RPC error on HTTP 200, or a tool result with `isError`. */
export type Shape = 'http' | 'rpc' | 'result'

interface Row { readonly status: number, readonly rpc: number, readonly shape: Shape, readonly text: string }

/**
 * code → HTTP status, JSON-RPC code, shape, default public text. JSON-RPC codes of our own are positive, because
 * -32768…-32000 is reserved by JSON-RPC and by the MCP specification (2026-07-28, basic, error codes).
 */
export const refusals = {
  PORTCULLIS_UNAUTHENTICATED: { status: 401, rpc: 401, shape: 'http', text: 'Authentication required: send "Authorization: Bearer <token>". Get a token with POST /auth/login or `portcullis token create`.' },
  PORTCULLIS_INVALID_TOKEN: { status: 401, rpc: 401, shape: 'http', text: 'The access token is not valid any more, or never was. Log in again with POST /auth/login, or create a token with `portcullis token create`.' },
  PORTCULLIS_BAD_CREDENTIALS: { status: 401, rpc: 401, shape: 'http', text: 'Wrong username or password.' },
  PORTCULLIS_INSUFFICIENT_SCOPE: { status: 403, rpc: 403, shape: 'http', text: 'The access token was not given the scope that calls need. Log in again, and let the program use your tools.' },
  PORTCULLIS_LOGIN_REFUSED: { status: 403, rpc: 403, shape: 'http', text: 'This login is not accepted here.' },
  PORTCULLIS_ISSUER_UNAVAILABLE: { status: 503, rpc: 503, shape: 'http', text: 'The keys of the issuer of your token cannot be fetched, so it cannot be verified. Try again shortly.' },
  PORTCULLIS_FORBIDDEN: { status: 403, rpc: 403, shape: 'http', text: 'You are not allowed to do this.' },
  PORTCULLIS_BAD_HOST: { status: 403, rpc: 403, shape: 'http', text: 'This Host is not served here. Add it to server.hosts in upstreams.yaml, or set PUBLIC_URL.' },
  PORTCULLIS_BAD_ORIGIN: { status: 403, rpc: 403, shape: 'http', text: 'This Origin may not call the gateway. Add it to server.origins in upstreams.yaml.' },
  PORTCULLIS_NOT_FOUND: { status: 404, rpc: -32601, shape: 'http', text: 'There is nothing at this address.' },
  PORTCULLIS_METHOD_NOT_ALLOWED: { status: 405, rpc: -32600, shape: 'http', text: 'This HTTP method is not supported here.' },
  PORTCULLIS_NOT_ACCEPTABLE: { status: 406, rpc: -32600, shape: 'http', text: 'The client must accept both application/json and text/event-stream.' },
  PORTCULLIS_UNSUPPORTED_MEDIA_TYPE: { status: 415, rpc: -32600, shape: 'http', text: 'The body must be sent as application/json.' },
  PORTCULLIS_BODY_TOO_LARGE: { status: 413, rpc: 413, shape: 'http', text: 'The request body is larger than the gateway accepts.' },
  PORTCULLIS_PARSE_ERROR: { status: 400, rpc: -32700, shape: 'http', text: 'The body is not valid JSON.' },
  PORTCULLIS_INVALID_REQUEST: { status: 400, rpc: -32600, shape: 'http', text: 'The body is not a valid JSON-RPC message.' },
  PORTCULLIS_INVALID_ENVELOPE: { status: 400, rpc: -32602, shape: 'http', text: 'The _meta envelope of the request is not valid.' },
  PORTCULLIS_HEADER_MISMATCH: { status: 400, rpc: -32020, shape: 'http', text: 'A request header does not agree with the body.' },
  PORTCULLIS_UNSUPPORTED_VERSION: { status: 400, rpc: -32022, shape: 'http', text: 'This protocol version is not supported.' },
  PORTCULLIS_SESSION_REQUIRED: { status: 400, rpc: -32600, shape: 'http', text: 'The Mcp-Session-Id header is missing: initialize first.' },
  PORTCULLIS_SESSION_NOT_FOUND: { status: 404, rpc: -32001, shape: 'http', text: 'Session not found: initialize again.' },
  PORTCULLIS_UNKNOWN_METHOD: { status: 404, rpc: -32601, shape: 'rpc', text: 'Method not found' },
  PORTCULLIS_INVALID_PARAMS: { status: 200, rpc: -32602, shape: 'rpc', text: 'The params of the request are not valid.' },
  /** A denied target and one that does not exist: the same bytes, so that nobody can probe for what is hidden. */
  PORTCULLIS_UNKNOWN_TARGET: { status: 200, rpc: -32602, shape: 'rpc', text: 'Unknown tool, prompt or resource' },
  PORTCULLIS_INVALID_ARGUMENTS: { status: 200, rpc: -32602, shape: 'result', text: 'The arguments do not match the schema of the tool.' },
  PORTCULLIS_BLOCKED: { status: 200, rpc: 403, shape: 'result', text: 'The arguments were blocked by a safety rule.' },
  PORTCULLIS_ARGUMENTS_TOO_LARGE: { status: 200, rpc: 413, shape: 'result', text: 'The arguments are larger than this gateway accepts.' },
  PORTCULLIS_RESULT_TOO_LARGE: { status: 200, rpc: 413, shape: 'result', text: 'The result is larger than this gateway passes on. Ask for less.' },
  PORTCULLIS_RATE_LIMITED: { status: 200, rpc: 429, shape: 'result', text: 'The rate limit is used up.' },
  PORTCULLIS_TOO_MANY_REQUESTS: { status: 429, rpc: 429, shape: 'http', text: 'Too many requests. Wait and try again.' },
  PORTCULLIS_TIMEOUT: { status: 200, rpc: 504, shape: 'result', text: 'The upstream did not answer in time.' },
  PORTCULLIS_CANCELLED: { status: 200, rpc: 499, shape: 'rpc', text: 'The request was cancelled.' },
  PORTCULLIS_UPSTREAM_UNAVAILABLE: { status: 503, rpc: 503, shape: 'result', text: 'The upstream is not available.' },
  PORTCULLIS_UPSTREAM_FAILED: { status: 200, rpc: 502, shape: 'result', text: 'The upstream stopped before it answered.' },
  PORTCULLIS_NOT_BRIDGEABLE: { status: 200, rpc: -32603, shape: 'result', text: 'The upstream asks for input that this client cannot give: its protocol revision has no way for it.' },
  PORTCULLIS_CAPABILITY_REQUIRED: { status: 400, rpc: -32021, shape: 'http', text: 'The upstream asks for something that this client did not say it can do.' },
  PORTCULLIS_STATE_EXPIRED: { status: 200, rpc: -32602, shape: 'rpc', text: 'requestState is not valid for this call, or has expired: make the call anew, without it.' },
  PORTCULLIS_LEDGER_UNAVAILABLE: { status: 503, rpc: 503, shape: 'http', text: 'The audit log cannot be written, so nothing is forwarded. Try again shortly.' },
  PORTCULLIS_SHUTTING_DOWN: { status: 503, rpc: 503, shape: 'http', text: 'The gateway is shutting down. Try again shortly.' },
  PORTCULLIS_OVERLOADED: { status: 503, rpc: 503, shape: 'http', text: 'The gateway is busy. Try again shortly.' },
  PORTCULLIS_INTERNAL: { status: 500, rpc: -32603, shape: 'http', text: 'Internal error of the gateway. The record id names the log entry.' },
} as const satisfies Record<string, Row>

export type RefusalCode = keyof typeof refusals

export interface RefusalOptions {
  /** Public text for this very refusal; one or two sentences that say what was wrong and what to do. */
  message?: string
  /** Extra public members of the error's `data`, for example `retryAfterMs` or `supported`. */
  data?: Readonly<Record<string, unknown>>
  /** Private: what really happened. Logged, never sent. */
  cause?: unknown
  /** The policy, limit or guard rule that refused, for the record. */
  rule?: string
  /** Extra response headers, for example `retry-after` (seconds). */
  headers?: Readonly<Record<string, string>>
}

/** A refusal on its way to the one error encoder. `message` is public; `cause` is not. */
export class Refusal extends Error {
  readonly code: RefusalCode
  readonly status: number
  readonly rpc: number
  readonly shape: Shape
  readonly data: Readonly<Record<string, unknown>>
  readonly rule: string | undefined
  readonly headers: Readonly<Record<string, string>>

  constructor (code: RefusalCode, options: RefusalOptions = {}) {
    const row: Row = refusals[code]
    super(options.message ?? row.text, { cause: options.cause })
    this.name = 'Refusal'
    this.code = code
    this.status = row.status
    this.rpc = row.rpc
    this.shape = row.shape
    this.data = options.data ?? {}
    this.rule = options.rule
    this.headers = options.headers ?? {}
  }
}

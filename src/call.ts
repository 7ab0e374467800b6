import type { Refusal } from './errors.ts'
import type { Capture } from './ledger/capture.ts'
import type { Era } from './protocol/era.ts'
import type { Message, Params, RequestId } from './protocol/message.ts'
import type { MethodSpec } from './protocol/methods.ts'
import type { Envelope } from './protocol/modern.ts'
import type { Json } from './protocol/spliced.ts'
import type { Task } from './protocol/task-ids.ts'
import type { Session } from './sessions.ts'
import type { Instance } from './upstreams/instance.ts'

/** Who is calling: what authentication established about the owner of a credential. */
export interface Principal {
  /** User id (uuid). Limits, instances, sessions and records are keyed by this, never by a token or a name. */
  readonly id: string
  readonly name: string
  readonly roles: readonly string[]
  /** `jti` of an access token, or the id of a personal access token. */
  readonly tokenId: string
  /** `foreign`: issued by an issuer that the configuration names. */
  readonly tokenKind: 'access' | 'personal' | 'foreign'
  /** OAuth client the token was issued to; `portcullis` for the first-party login and personal access tokens; `<issuer>:<client>` for foreign ones. */
  readonly clientId: string
  /** What the token itself is limited to (patterns over `upstream/tool`), or null when it carries the user's full rights. */
  readonly scopes: readonly string[] | null
  /** The only upstream whose endpoint the credential is for; absent when it is for the whole gateway. */
  readonly upstream?: string
  /** Unix milliseconds after which the credential must not be honoured. */
  readonly expiresAt: number
}

/** What a message is about, as policy names it: `kind` plus `upstream/name`. */
export interface Target {
  readonly kind: 'tool' | 'prompt' | 'resource'
  readonly upstream: string
  /** Bare tool or prompt name as the upstream knows it, or the resource URI. */
  readonly name: string
}

/** What policy said about one target for one principal. */
export interface Decision {
  readonly allowed: boolean
  /** The rule that decided, as `role:index pattern`, for example `user:0 files/read_*`; `default` when no rule matched. */
  readonly rule: string
}

/** Where a rate limit stands after it counted a call. */
export interface LimitState {
  readonly limit: number
  readonly remaining: number
  readonly resetSeconds: number
}

/** The HTTP request a message came in: what every message of a batch has in common. */
export interface Arrival {
  readonly principal: Principal
  /** Address of the peer, for the record. */
  readonly source: string
  /** The upstream of /mcp/:upstream, where names are untouched; undefined on /mcp, which aggregates. */
  readonly endpoint: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly bytesIn: number
}

/** How far an answer has to travel back; one per HTTP exchange. */
export interface ReplyTo {
  /** Sends a message ahead of the answer, on the answer's own stream. False when it was dropped: the client takes no stream, or reads too slowly. */
  notify (message: string): boolean
  /** The client takes a stream. */
  readonly streams: boolean
  /**
   * The answer may become a stream while it takes long. One that belongs to a session becomes one soon and can be taken up
   * again after a disconnect; any other only when its connection would seem dead, since its status is not known before.
   */
  keep (session: Session | undefined): void
  /** A comment on the stream, if there is one: keeps it open, says nothing. False when the reader takes nothing any more. */
  comment (text: string): boolean
  /** Ends this message's part of the exchange. `body` undefined: there is nothing to say (a notification). */
  finish (status: number, body: Json | undefined, headers: Readonly<Record<string, string>>): void
}

/** How a call that was not refused ended. */
export type Answered =
  | { readonly kind: 'result', readonly text: Json, readonly toolError: boolean, readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: 'error', readonly code: number, readonly message: string, readonly data: unknown }
  | { readonly kind: 'nothing' }

/** The facts one message gathers on its way through the pipeline. Each step reads what earlier steps wrote. */
export class Call {
  readonly startedAt: number = performance.now()
  readonly record: string
  readonly arrival: Arrival
  readonly reply: ReplyTo
  /** The message as it was parsed, and as it was sent. */
  readonly value: unknown
  readonly text: string
  /** True when the arguments hold numbers that only their original text keeps intact. */
  readonly exotic: boolean
  message: Message = unread
  spec: MethodSpec | undefined = undefined
  era: Era = 'legacy'
  version = ''
  envelope: Envelope | undefined = undefined
  session: Session | undefined = undefined
  target: Target | undefined = undefined
  /** The task that the message is about. */
  task: Task | undefined = undefined
  decision: Decision | undefined = undefined
  limit: LimitState | undefined = undefined
  instance: Instance | undefined = undefined
  /** What the pipeline came to; undefined until `forward` is through. */
  answer: Answered | undefined = undefined
  /** Milliseconds the upstream took; 0 when it was not asked. */
  upstreamMs = 0
  /** An intent record of this call is durable: whatever happens now needs an outcome record. */
  intended = false
  settled = false
  /** It went on although the ledger could not take its intent, and was counted. */
  unrecorded = false
  /** What the record keeps of the payloads, sealed. */
  capture: Capture | undefined = undefined
  /** Where it stands among those under way, -1 when it doesn't. Belongs to the roster of those. */
  place = -1
  /** How to stop the upstream that works on the call. */
  cancel: ((refusal: Refusal) => void) | undefined = undefined
  /** JSON text of the arguments, once somebody needed it. */
  argumentsText: string | undefined = undefined
  /** Why the call must not be forwarded any more, when it was given up before it was. */
  givenUp: Refusal | undefined = undefined

  constructor (record: string, arrival: Arrival, reply: ReplyTo, body: { value: unknown, text: string, exotic: boolean }) {
    this.record = record
    this.arrival = arrival
    this.reply = reply
    this.value = body.value
    this.text = body.text
    this.exotic = body.exotic
  }

  /** Gives the call up, wherever it is: on its way, or at the upstream. */
  giveUp (refusal: Refusal): void {
    this.givenUp ??= refusal
    this.cancel?.(refusal)
  }

  get principal (): Principal {
    return this.arrival.principal
  }

  get method (): string {
    return this.message.kind === 'response' ? '' : this.message.method
  }

  get params (): Params {
    return this.message.kind === 'response' ? noParams : this.message.params
  }

  get id (): RequestId | undefined {
    return this.message.kind === 'request' ? this.message.id : undefined
  }

  /** Who the client program says it is: display and statistics only, never a decision. */
  get client (): { readonly name: string, readonly version: string } | undefined {
    return this.session?.client ?? this.envelope?.clientInfo
  }
}

const noParams: Params = Object.freeze({})
const unread: Message = Object.freeze({ kind: 'notification', method: '', params: noParams })

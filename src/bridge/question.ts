import { secretsWith } from '../guard/secrets.ts'
import { normalise } from '../guard/text.ts'
import { looksOf } from '../protocol/look-alike.ts'
import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'

/** Something an upstream wants of a client, whichever era it was asked in. */
export interface Question { readonly method: string, readonly params: Params }

/** Characters a question may have; it is held in memory until it is answered. */
const maxQuestion = 1024 * 1024
const secrets = secretsWith([])

/**
 * Why a question must not reach a person or a model, or null. A form never asks for a password, a token or the like
 * (specification 2025-11-25, elicitation: such things go through a URL), and a URL is one a browser may open.
 */
export function questionProblem ({ method, params }: Question): string | null {
  if (JSON.stringify(params).length > maxQuestion) return 'The question is too large.'
  if (method !== 'elicitation/create') return null
  if (typeof params['message'] !== 'string') return 'An elicitation needs a message.'
  return params['mode'] === 'url' ? urlProblem(params['url']) : formProblem(params['requestedSchema'])
}

function urlProblem (given: unknown): string | null {
  const url = typeof given === 'string' && URL.canParse(given) ? new URL(given) : undefined
  if (url === undefined) return 'The URL of an elicitation is not a valid URL.'
  const local = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && local)) return 'The URL of an elicitation must begin with https://.'
  return url.username === '' && url.password === '' ? null : 'The URL of an elicitation must not hold credentials.'
}

function formProblem (schema: unknown): string | null {
  const properties = isObject(schema) && isObject(schema['properties']) ? schema['properties'] : undefined
  if (properties === undefined) return 'The form of an elicitation needs a requestedSchema with properties.'
  const secret = Object.entries(properties).find(([name, field]) => asksForSecret(name, isObject(field) ? field : {}))
  return secret === undefined ? null : `A form must not ask for "${secret[0].slice(0, 64)}": secrets are not entered into forms.`
}

/** Short for a password and the like, as a whole word of a name: a compass is none, and neither is a switch. */
const short = /(?:^|[^a-z])(?:pass|pin|otp|cvv|cvc)(?:$|[^a-z])/

/** By what the person reads. A warning not to enter a secret is taken for a question: words do not tell them apart. */
function asksForSecret (name: string, { title, description, type }: Params): boolean {
  const names = [name, title].flatMap(looks)
  return [...names, ...looks(description)].some((look) => secrets.hides(look, '')) || (type !== 'boolean' && names.some((look) => short.test(look)))
}

function looks (text: unknown): string[] {
  return typeof text === 'string' ? looksOf(normalise(text)) : []
}

/**
 * The question as the client gets it: what belongs to the upstream's own connection is left out, and where many
 * upstreams share an endpoint the person reads which of them asks.
 */
export function questionFor ({ method, params }: Question, upstream: string | undefined): Question {
  const { _meta, task, ...kept } = params
  const meta = isObject(_meta) ? Object.fromEntries(Object.entries(_meta).filter(([key]) => key !== 'progressToken')) : {}
  const asked = upstream === undefined || method !== 'elicitation/create' ? kept : { ...kept, message: `[${upstream}] ${String(params['message'])}` }
  return { method, params: Object.keys(meta).length === 0 ? asked : { ...asked, _meta: meta } }
}

import type { FastifyError } from 'fastify'

type Fault = NonNullable<FastifyError['validation']>[number]

/** What the validator found, for people: which member of what, and how it should be. Nothing that was sent is repeated, but the beginning of a name that is not known. */
export function sentenceOf (fault: Fault | undefined, context: FastifyError['validationContext']): string {
  const part = PARTS[context ?? 'body'] ?? 'request'
  const member = fault?.instancePath?.slice(1).replaceAll('/', '.') ?? ''
  const subject = member === '' ? `The ${part}` : `"${member}" in the ${part}`
  return `${subject} ${WORDS[fault?.keyword ?? '']?.(fault?.params ?? {}) ?? 'is not valid'}.`
}

/** Where Fastify found it → words. */
const PARTS: Readonly<Record<string, string>> = { body: 'body', querystring: 'query' }

/** What the schema asks for → words. Names of unknown members are cut, since somebody may have put a secret there. */
const WORDS: Readonly<Record<string, (params: Fault['params']) => string>> = {
  additionalProperties: ({ additionalProperty }) => `has a member that is not known here: ${JSON.stringify(String(additionalProperty).slice(0, 24))}`,
  required: ({ missingProperty }) => `needs the member "${String(missingProperty)}"`,
  type: ({ type }) => `must be ${[type].flat().map((name) => TYPES[String(name)] ?? String(name)).join(' or ')}`,
  minLength: ({ limit }) => limit === 1 ? 'must not be empty' : `must have at least ${String(limit)} characters`,
  maxLength: ({ limit }) => `must have at most ${String(limit)} characters`,
  maxItems: ({ limit }) => `must have at most ${String(limit)} entries`,
  minimum: ({ limit }) => `must be at least ${String(limit)}`,
  maximum: ({ limit }) => `must be at most ${String(limit)}`,
}

const TYPES: Readonly<Record<string, string>> = { object: 'a JSON object', array: 'an array', string: 'a string', integer: 'a whole number', boolean: 'true or false', null: 'null' }

import type { FastifyInstance } from 'fastify'
import type { Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { authenticate } from './authenticate.ts'
import { authorize } from './authorize.ts'
import { readBody, reader, receive } from './body.ts'
import { onError } from './errors.ts'
import { post } from './exchange.ts'
import { forward } from './forward.ts'
import type { Gate, Step } from './gate.ts'
import { message } from './message.ts'
import { close, open } from './open.ts'
import { record } from './record.ts'
import { resolve } from './resolve.ts'
import { session } from './session.ts'
import { sse } from './sse.ts'
import { throttle } from './throttle.ts'
import { validate } from './validate.ts'

/**
 * The path of a call. Every message of every method and every protocol era walks these steps in this order; a refusal
 * at any step is recorded and answered by settle.ts. A new check is a new line here.
 */
function pipeline (gate: Gate): readonly Step[] {
  return [
    message(), //        what it is: era, method, params
    session(gate), //    a legacy message belongs to a session of this principal
    resolve(gate), //    name → upstream and tool, and what policy says
    throttle(gate), //   rate limits, by identity
    authorize(), //      roles; denied and unknown look the same
    validate(gate), //   the tool's own schema, sizes, deny patterns
    record(gate), //     the intent is durable, or nothing is forwarded
    forward(gate), //    to the upstream, and the answer back
  ]
}

/**
 * Where a record is safe as soon as it is written, an upstream begins with the first calls while the next ones are checked.
 * Where it takes a sync or a commit, the more calls share one the better.
 */
const QUICK_GROUP = 8

/** The /mcp scope: who does not pass `authenticate` does not get a body parsed. `origin` guards the whole app. */
export function mcp (app: FastifyInstance, { gate, identity }: { gate: Gate, identity: Identity }, done: () => void): void {
  // Declared so that all requests have one shape; null, so that reading it before authentication is an error.
  app.decorateRequest('principal', null as unknown as Principal)
  app.addHook('onRequest', preflight)
  const admit = authenticate(identity)
  app.addHook('onRequest', admit)
  app.setErrorHandler(onError(gate))
  app.removeAllContentTypeParsers()
  const { maxBody } = gate.config.server
  const read = reader({ bytes: maxBody, together: gate.config.audit.durability === 'os' ? QUICK_GROUP : Infinity, underWay: () => gate.underWay.size })
  app.addContentTypeParser('application/json', readBody(read))

  const steps = pipeline(gate)
  const onPost = post(gate, steps)
  const old = sse(gate, steps)
  const onOpen = open(gate)
  const onClose = close(gate)
  for (const url of ['/mcp', '/mcp/:upstream']) {
    app.post(url, { bodyLimit: maxBody, onRequest: receive(read, admit, onPost) }, onPost)
    app.get(url, { exposeHeadRoute: false }, onOpen)
    app.delete(url, onClose)
    app.route({ method: ['PUT', 'PATCH', 'HEAD', 'OPTIONS'], url, handler: () => { throw new Refusal('PORTCULLIS_METHOD_NOT_ALLOWED', { headers: { allow: 'GET, POST, DELETE' } }) } })
  }
  for (const url of ['/sse', '/sse/:upstream']) {
    app.get(url, { exposeHeadRoute: false }, old.open)
    app.post(url, { bodyLimit: maxBody, onRequest: receive(read, admit, old.message) }, old.message)
  }
  done()
}

/** CORS preflight of an allowed Origin: it carries no credentials, so it is answered before authentication. */
function preflight (request: Parameters<ReturnType<typeof authenticate>>[0], reply: Parameters<ReturnType<typeof authenticate>>[1], done: () => void): void {
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined || request.headers.origin === undefined) return done()
  void reply
    .code(204)
    .header('access-control-allow-methods', 'GET, POST, DELETE')
    .header('access-control-allow-headers', request.headers['access-control-request-headers'] ?? 'authorization, content-type')
    .header('access-control-max-age', '600')
    .send()
}

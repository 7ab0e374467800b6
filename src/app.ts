import underPressure from '@fastify/under-pressure'
import Fastify from 'fastify'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { openDatabase } from '../db/connect.ts'
import type { Database } from '../db/connect.ts'
import { watchDatabase } from '../db/watch.ts'
import type { DatabaseWatch } from '../db/watch.ts'
import { adminOnly } from '../plugins/admin-only.ts'
import { sendError, sendUnroutable } from '../plugins/auth/errors.ts'
import { admin } from '../plugins/admin/index.ts'
import { auth } from '../plugins/auth/index.ts'
import { errorPages } from '../plugins/error-pages.ts'
import { audit as auditApi } from '../plugins/audit/index.ts'
import { health } from '../plugins/health.ts'
import { identity } from '../plugins/identity.ts'
import { limits } from '../plugins/limits.ts'
import { createCatalog } from '../plugins/mcp/catalog.ts'
import { openEndedSessions } from '../plugins/mcp/ended-sessions.ts'
import type { Gate } from '../plugins/mcp/gate.ts'
import { mcp } from '../plugins/mcp/index.ts'
import { hangUp, unsubscribe } from '../plugins/mcp/let-go.ts'
import { applyLevel } from '../plugins/mcp/logging.ts'
import { origin } from '../plugins/mcp/origin.ts'
import { Patience } from '../plugins/mcp/patience.ts'
import { Replays } from '../plugins/mcp/replays.ts'
import { Streams } from '../plugins/mcp/streams.ts'
import { UnderWay } from '../plugins/mcp/under-way.ts'
import { watchAnew, watched } from '../plugins/mcp/watch.ts'
import { metrics, startMetricsServer } from '../plugins/metrics.ts'
import { oauth } from '../plugins/oauth/index.ts'
import { wellKnown } from '../plugins/well-known.ts'
import { Parking } from './bridge/parking.ts'
import type { Config } from './config/config.ts'
import { Refusal } from './errors.ts'
import { createCaptures } from './ledger/capture.ts'
import { caughtUp } from './ledger/caught-up.ts'
import { openSecrets } from './config/secrets.ts'
import { createGuards } from './guard/guards.ts'
import { openMasterKey } from './identity/master-key.ts'
import { configEntry } from './ledger/config-record.ts'
import { auditIdentity } from './ledger/identity-events.ts'
import { announceMissingIndexes } from './ledger/keeping/indexes.ts'
import { openSteward } from './ledger/keeping/steward.ts'
import { ledgerSeed } from './ledger/keys.ts'
import { openLedger } from './ledger/ledger.ts'
import type { Ledger } from './ledger/ledger.ts'
import { PayloadKeys } from './ledger/payload-keys.ts'
import { callsSince } from './ledger/query.ts'
import { openSinks } from './ledger/sinks/sinks.ts'
import type { Log } from './log.ts'
import { countIdentity } from './metrics/identity-events.ts'
import { createMetrics } from './metrics/metrics.ts'
import type { Metrics } from './metrics/metrics.ts'
import { compilePolicy } from './policy/policy.ts'
import { readiness, standing } from './readiness.ts'
import { ReceivedMessage } from './received-message.ts'
import { Sessions } from './sessions.ts'
import { openCells } from './upstreams/cells.ts'
import type { Cells } from './upstreams/cells.ts'
import { Supervisor } from './upstreams/supervisor.ts'
import { packageEvents, supervisorEvents } from './upstreams/events.ts'
import { instanceFacts } from './upstreams/facts.ts'
import { announceUnpinned } from './upstreams/unpinned.ts'
import { announceUnsandboxed } from './upstreams/unsandboxed.ts'
import { isKnown } from './upstreams/upstream-health.ts'
import { UpstreamWatch } from './upstreams/watch.ts'
import { version } from './version.ts'

export interface Gateway {
  readonly app: FastifyInstance
  readonly ledger: Ledger
  /** Where it listens, for example http://127.0.0.1:8080. */
  readonly url: string
  /** The administrator that this very start created; the password only if it was generated. */
  readonly firstAdmin: { readonly name: string, readonly generated: string | undefined } | undefined
  /** Why upstreams would be refused on this machine, one sentence each with what to do. */
  readonly sandboxProblems: readonly string[]
  /** Lets calls in flight finish (at most `drainMs`), ships the ledger, closes everything. Idempotent. */
  close (drainMs?: number): Promise<void>
}

/** Opens a gateway: everything it owns, in the order in which it depends on one another, and listens. */
export async function openGateway (config: Config, log: Log): Promise<Gateway> {
  const closers: (() => Promise<unknown>)[] = []
  const own = <T extends { close (): Promise<unknown> }>(opened: T): T => {
    closers.unshift(() => opened.close())
    return opened
  }
  try {
    const measured = createMetrics({ version, config: config.version })
    const database = own(await openDatabase({ url: config.databaseUrl, data: config.data, log }))
    const watch = own(watchDatabase(database.pool))
    const sinks = own(openSinks(config.audit.sinks, { database, log }))
    const ledger = own(openLedger({ data: config.data, database, obstacle: () => sinks.obstacle, thread: database, seed: ledgerSeed(config.data), audit: config.audit, log }))
    own(openSteward({ ...config, url: database.url, database, log }))
    void announceMissingIndexes(database, log)
    const cells = own(openCells(config, packageEvents({ log, ledger, metrics: measured })))
    const upstreams = own(new UpstreamWatch(config, openSecrets(config.data)))
    const app = createApp(config, log)
    closers.unshift(() => app.close())
    const life = { closing: false }
    const checks = readiness({ ledger, database: watch, cells, life, upstreams, required: config.health.required })
    const gate = await compose(app, { config, log, database, watch, ledger, measured, cells, upstreams, checks })
    const metricsServer = own(await startMetricsServer({ ...config.metrics, registry: measured.registry, hosts: config.server.hosts, standing: standing({ checks, ledger, upstreams, supervisor: gate.supervisor }), log }))
    const firstAdmin = await app.identity.firstStart(config.adminPassword)
    announceUnsandboxed(config, { log, ledger, metrics: measured })
    announceUnpinned(config, { log, ledger })
    const url = await app.listen({ host: config.server.host, port: config.server.port })
    ledger.append({ record: ledger.newRecord(), ...await configEntry(database, config) })
    ledger.append({ kind: 'gateway', record: ledger.newRecord(), outcome: 'ok', policy: config.version, detail: { event: 'start', version, url, durability: config.audit.durability, metrics: metricsServer.address?.port } })
    void cells.install((upstream, reason) => log.error({ upstream, reason }, 'upstream is refused: its package cannot be had'))
    upstreams.begin(gate.supervisor)
    let closing: Promise<void> | undefined
    return {
      app,
      ledger,
      url,
      firstAdmin,
      sandboxProblems: await cells.problems(),
      close: (drainMs = 10_000) => {
        life.closing = true
        return (closing ??= shutDown(app, gate, closers, drainMs))
      },
    }
  } catch (error) {
    for (const close of closers) await close().catch(() => {})
    throw error
  }
}

/**
 * Fastify is not given the logger: with one it follows every request to its end, which costs as much as the routing, and
 * the ledger knows every attempt. Plugins find it in app.log all the same; request.log says nothing.
 */
function createApp (config: Config, log: Log): FastifyInstance {
  const app = Fastify({
    http: { IncomingMessage: ReceivedMessage },
    keepAliveTimeout: 65_000,
    requestTimeout: 30_000,
    bodyLimit: config.server.maxBody,
    frameworkErrors: sendUnroutable(config.server.publicUrl),
    routerOptions: { maxParamLength: 200 },
  })
  app.log = log as FastifyBaseLogger
  return app
}

/** In this order: nothing new comes in, streams say goodbye, calls in flight finish, then everything closes. */
async function shutDown (app: FastifyInstance, gate: Gate, closers: readonly (() => Promise<unknown>)[], drainMs: number): Promise<void> {
  gate.streams.close()
  gate.parking.close()
  gate.patience.close()
  const closed = app.close()
  // A connection whose last call ends now would otherwise be kept alive until its client lets go.
  const hangUp = setInterval(() => app.server.closeIdleConnections(), 50)
  await gate.supervisor.close(drainMs, () => gate.underWay.size > 0)
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, flushMs))])
  app.server.closeAllConnections() // half a request, or a reader that does not read, must not keep the rest from closing
  await closed.finally(() => clearInterval(hangUp))
  gate.ledger.append({ kind: 'gateway', record: gate.ledger.newRecord(), outcome: 'ok', detail: { event: 'stop' } }, { force: true })
  for (const close of closers) await close().catch((error: unknown) => gate.log.error({ err: error }, 'a part of the gateway did not close properly'))
}

/** Answers that are on their way out when the calls are done get this long, in milliseconds. */
const flushMs = 1_000

/** An event loop that is this late, in milliseconds, does nobody a favour by taking more in. */
const maxLoopDelayMs = 2_000

interface Parts {
  readonly config: Config
  readonly log: Log
  readonly database: Database
  readonly watch: DatabaseWatch
  readonly ledger: Ledger
  readonly measured: Metrics
  readonly cells: Cells
  readonly upstreams: UpstreamWatch
  readonly checks: ReturnType<typeof readiness>
}

/** A token that limits nothing, for asking policy about a user. */
const ANY_TOKEN = { tokenId: '', tokenKind: 'access', clientId: '', scopes: null, expiresAt: 0 } as const

/** Registers the scopes. What they share they find in the gate; they never meet one another. */
async function compose (app: FastifyInstance, { config, log, database, watch, ledger, measured, cells, upstreams, checks }: Parts): Promise<Gate> {
  const audit = auditIdentity(ledger, countIdentity(measured))
  const { publicUrl } = config.server
  app.setErrorHandler(sendError(publicUrl))
  app.setNotFoundHandler(() => { throw new Refusal('PORTCULLIS_NOT_FOUND') })
  await app.register(health, { checks })
  // After health: probes come by address, and want an answer most when there is pressure.
  app.addHook('onRequest', origin(config))
  await app.register(underPressure, { maxEventLoopDelay: maxLoopDelayMs, pressureHandler: () => { throw new Refusal('PORTCULLIS_OVERLOADED', { headers: { 'retry-after': '2' }, data: { retryAfterMs: 2000 } }) } })
  await app.register(limits, { config, metrics: measured })
  await app.register(identity, { database, config, audit, tally: measured })
  await caughtUp(ledger, log)
  await app.limits.restore((ms) => callsSince(database, ms))

  const policy = compilePolicy(config.roles)
  const payloadKeys = new PayloadKeys(database.db, openMasterKey(config.data))
  const sessions = new Sessions(app.identity.deriveKey('sessions'), { onIdle: (session) => unsubscribe(gate, session) })
  const endedSessions = await openEndedSessions({ database, sessions, onEnded: (session) => hangUp(gate, session), log })
  app.addHook('onClose', async () => {
    sessions.close()
    await endedSessions.close()
  })
  // A stream outlives the request that opened it, and so may an answer: whether the credential still holds is asked anew.
  const authenticate = async (authorization: string | undefined) => await app.identity.authenticate(authorization)
  const streams = new Streams(policy, authenticate, (session) => sessions.keep(session))
  const supervisor: Supervisor = new Supervisor(config, cells.spawn, upstreams.hearing(supervisorEvents({
    log,
    ledger,
    metrics: measured,
    onNotification: (...news) => streams.publish(...news),
    onStarted (instance) {
      applyLevel({ sessions }, instance)
      watchAnew(gate, instance)
    },
    isWatched: (instance) => watched(gate, instance).size > 0,
  })))
  const catalog = createCatalog({ config, policy, supervisor, log })
  const gate: Gate = { underWay: new UnderWay(), config, policy, limits: app.limits, guards: createGuards(config), ledger, captures: createCaptures(config.audit, payloadKeys), supervisor, sessions, endedSessions, catalog, streams, replays: new Replays(), patience: new Patience(), parking: new Parking(), stateKey: app.identity.deriveKey('request-state'), metrics: measured, log }
  app.identity.onChange((userId, standing) => {
    payloadKeys.changed(userId)
    streams.recheck(userId)
    gate.underWay.recheck(userId, authenticate)
    if (standing !== undefined && !standing.disabled) return
    supervisor.endUser(userId).catch((error: unknown) => log.error({ err: error, user: userId }, 'instances of a user could not be ended'))
  })
  measured.watch({
    ledger: () => ledger.status,
    instances: () => instanceFacts(supervisor),
    upstreams: () => upstreams.all.map(({ upstream, state, listed }) => ({ upstream, ready: isKnown(state) ? state === 'ready' : undefined, tools: listed?.tools })),
    inLine: () => supervisor.inLine,
    sessions: () => sessions.size,
    streams: () => streams.size,
    database: () => ({ up: watch.up, total: database.pool.totalCount, idle: database.pool.idleCount, waiting: database.pool.waitingCount }),
  })
  await app.register(errorPages)
  await app.register(auditApi, { identity: app.identity, database, ledger, keys: payloadKeys })
  await app.register(wellKnown, { identity: app.identity, publicUrl })
  await app.register(metrics, { registry: measured.registry, authenticateAdmin: adminOnly(app.identity) })
  await app.register(auth, { identity: app.identity, config, audit })
  await app.register(oauth, { identity: app.identity, database, config, audit, tally: measured, reachable: (user) => [...config.upstreams.keys()].filter((upstream) => policy.reaches({ ...user, ...ANY_TOKEN }, upstream)) })
  await app.register(admin, { identity: app.identity, administration: app.identity.administer([...config.roles.keys()]) })
  await app.register(mcp, { gate, identity: app.identity })
  return gate
}

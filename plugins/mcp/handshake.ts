import type { Answered, Call } from '../../src/call.ts'
import { ownResult } from '../../src/bridge/result.ts'
import { mergedTasks, withTasks } from '../../src/bridge/tasks.ts'
import { Refusal } from '../../src/errors.ts'
import { abilitiesOf } from '../../src/protocol/capabilities.ts'
import { isLegacyVersion, legacyVersions, meta, modernVersions } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import type { Client } from '../../src/sessions.ts'
import type { Introduction } from '../../src/upstreams/introduction.ts'
import { version } from '../../src/version.ts'
import type { Gate } from './gate.ts'
import { instanceOf } from './send.ts'

export const serverInfo = { name: 'portcullis', title: 'Portcullis', version }

/** What the aggregated endpoint offers whatever its upstreams do: lists may be empty, but never unknown. */
const aggregated: Introduction = {
  serverInfo,
  capabilities: { tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true }, completions: {}, logging: {} },
  instructions: undefined,
}

/** A legacy client says hello: its revision is settled, and a session begins if there is something to talk to. */
export async function initialize (gate: Gate, call: Call): Promise<Answered> {
  const asked = readInitialize(call)
  const version = isLegacyVersion(asked.version) ? asked.version : legacyVersions[0]
  const session = gate.sessions.create(call.principal, version, asked.client, abilitiesOf(asked.capabilities, version))
  call.session = session
  call.version = version
  const { serverInfo, capabilities, instructions } = await introductionFor(gate, call)
  gate.sessions.keep(session)
  const text = ownResult({ protocolVersion: version, capabilities, serverInfo, ...(instructions === undefined ? {} : { instructions }) }, 'legacy', call.record)
  return { kind: 'result', text, toolError: false, headers: { 'mcp-session-id': session.id } }
}

/** A 2026-07-28 client asks who is there. */
export async function discover (gate: Gate, call: Call): Promise<Answered> {
  const { serverInfo, capabilities, instructions } = await introductionFor(gate, call)
  const text = ownResult({
    supportedVersions: [...modernVersions, ...legacyVersions],
    capabilities,
    ...(instructions === undefined ? {} : { instructions }),
    ttlMs: 0,
    cacheScope: 'private',
    _meta: { [meta.serverInfo]: serverInfo },
  }, 'modern', call.record)
  return { kind: 'result', text, toolError: false }
}

/** What is said of the server. Tasks are not bridged: they are offered where client and upstream speak of the same ones. */
export async function introductionFor (gate: Gate, call: Call): Promise<Introduction> {
  if (call.arrival.endpoint === undefined) return { ...aggregated, capabilities: { ...aggregated.capabilities, ...mergedTasks(call.era, call.version) } }
  const { introduction, era } = await instanceOf(gate, call)
  return { ...introduction, capabilities: withTasks(introduction.capabilities, era, call.era, call.version) }
}

function readInitialize (call: Call): { version: unknown, client: Client, capabilities: Params } {
  const { protocolVersion, clientInfo, capabilities } = call.params
  if (typeof protocolVersion !== 'string') throw invalid('params.protocolVersion must be a string.')
  if (!isObject(capabilities)) throw invalid('params.capabilities must be an object.')
  if (!isObject(clientInfo) || typeof clientInfo['name'] !== 'string' || typeof clientInfo['version'] !== 'string') throw invalid('params.clientInfo needs the strings "name" and "version".')
  return { version: protocolVersion, capabilities, client: { name: clientInfo['name'], version: clientInfo['version'] } }
}

function invalid (message: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_PARAMS', { message })
}

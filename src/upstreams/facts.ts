import type { InstanceFacts } from '../metrics/sources.ts'
import { noUsage } from '../sandbox/processes.ts'
import type { Supervisor } from './supervisor.ts'

/** What the instances are doing and use, the ones that are not up yet or not up again included. */
export async function instanceFacts (supervisor: Pick<Supervisor, 'instances' | 'states'>): Promise<InstanceFacts[]> {
  const up = await Promise.all([...supervisor.instances()].map(async (instance, at) => {
    const { upstream, owner, cell, startedAt, inFlight } = instance
    const id = cell.pid === 0 ? `remote ${at}` : `${cell.pid} ${startedAt}`
    return { id, upstream, owner, state: 'ready', pid: cell.pid, startedAt, inFlight, waiting: instance.turns?.waiting ?? 0, ...await cell.usage() }
  }))
  const others = supervisor.states().filter(({ state }) => state !== 'ready')
  return [...up, ...others.map(({ upstream, owner, state }, at) => ({ id: `${state} ${at}`, upstream, owner, state, pid: 0, startedAt: undefined, inFlight: 0, waiting: 0, ...noUsage }))]
}

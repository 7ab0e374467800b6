import type { Hold } from './cell.ts'
import { membersOf } from './processes.ts'

/** Sends a signal to every process of a group. False when the group has no process left. */
export function signalGroup (group: number, signal: 'SIGKILL' | 'SIGTERM' | 0): boolean {
  try {
    return process.kill(-group, signal)
  } catch {
    return false
  }
}

/** The gateway's hold on the processes of one group, where there is no namespace that holds them. */
export function groupHold (group: number, { terminate, measure }: Pick<Hold, 'terminate' | 'measure'>): Hold {
  return {
    kill: () => { signalGroup(group, 'SIGKILL') },
    terminate,
    isEmpty: () => !signalGroup(group, 0),
    measure,
    members: () => membersOf(group),
    explain: () => Promise.resolve({}),
  }
}

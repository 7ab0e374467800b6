import { hash } from 'node:crypto'

import { compilePaths, endsHere, follow } from './paths.ts'
import type { Paths } from './paths.ts'
import { maskSecrets, redacted, secretsWith } from './secrets.ts'
import type { Secrets } from './secrets.ts'

export const maxText = 2048
export const maxTotal = 16 * 1024
const maxDepth = 32
/** Beyond what is kept, so that a secret the cut goes through is still seen for what it is. */
const lookAhead = 512

export function digest (argsJson: string): string {
  return `sha256:${hash('sha256', argsJson)}`
}

/** How much of a value is kept, in characters: of one text, and in all. */
export interface Room { readonly text: number, readonly total: number }

const usual: Room = { text: maxText, total: maxTotal }

/**
 * A copy for the record: secrets and what `keys` names (members, or paths such as `$.customer.email`) hidden, long texts
 * cut, 16 KiB in all unless `room` says more. The arguments themselves stay as they are.
 */
export function redact (args: unknown, keys: readonly string[], room: Room = usual): unknown {
  return copy(args, { secrets: secretsWith(keys), longest: room.text, left: room.total }, 0, compilePaths(keys))
}

interface Budget { readonly secrets: Secrets, readonly longest: number, left: number }

function copy (value: unknown, budget: Budget, depth: number, paths: Paths): unknown {
  budget.left -= 8
  if (typeof value === 'string') return copyText(value, budget)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= maxDepth) return '[nested deeper]'
  return Array.isArray(value) ? copyItems(value, budget, depth, paths) : copyMembers(value, budget, depth, paths)
}

function copyText (text: string, budget: Budget): string {
  const kept = cut(maskSecrets(text.slice(0, budget.longest + lookAhead)), Math.max(0, Math.min(budget.longest, budget.left)))
  budget.left -= kept.length
  return kept.length < text.length && text.length > budget.longest ? `${kept}[… ${text.length} characters]` : kept
}

/** Never through the middle of a character. */
function cut (text: string, length: number): string {
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length)
}

function copyItems (items: readonly unknown[], budget: Budget, depth: number, paths: Paths): unknown[] {
  const copied: unknown[] = []
  for (const [index, item] of items.entries()) {
    if (budget.left <= 0) return [...copied, `[… ${items.length} items]`]
    const ahead = follow(paths, String(index))
    copied.push(endsHere(ahead) ? redacted : copy(item, budget, depth + 1, ahead))
  }
  return copied
}

function copyMembers (source: object, budget: Budget, depth: number, paths: Paths): Record<string, unknown> {
  const members = Object.entries(source)
  const copied: [string, unknown][] = []
  for (const [name, value] of members) {
    if (budget.left <= 0) {
      copied.push(['…', `[… ${members.length} members]`])
      break
    }
    const shown = copyText(name, budget)
    const ahead = follow(paths, name)
    copied.push([shown, endsHere(ahead) || budget.secrets.hides(name, value) ? redacted : copy(value, budget, depth + 1, ahead)])
  }
  return Object.fromEntries(copied)
}

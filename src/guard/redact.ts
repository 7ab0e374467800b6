import { hash } from 'node:crypto'

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

/** A copy for the record: secrets hidden, long texts cut, 16 KiB in all. The arguments themselves stay as they are. */
export function redact (args: unknown, keys: readonly string[]): unknown {
  return copy(args, { secrets: secretsWith(keys), left: maxTotal }, 0)
}

interface Budget { readonly secrets: Secrets, left: number }

function copy (value: unknown, budget: Budget, depth: number): unknown {
  budget.left -= 8
  if (typeof value === 'string') return copyText(value, budget)
  if (typeof value !== 'object' || value === null) return value
  if (depth >= maxDepth) return '[nested deeper]'
  return Array.isArray(value) ? copyItems(value, budget, depth) : copyMembers(value, budget, depth)
}

function copyText (text: string, budget: Budget): string {
  const kept = cut(maskSecrets(text.slice(0, maxText + lookAhead)), Math.max(0, Math.min(maxText, budget.left)))
  budget.left -= kept.length
  return kept.length < text.length && text.length > maxText ? `${kept}[… ${text.length} characters]` : kept
}

/** Never through the middle of a character. */
function cut (text: string, length: number): string {
  const last = text.charCodeAt(length - 1)
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? length - 1 : length)
}

function copyItems (items: readonly unknown[], budget: Budget, depth: number): unknown[] {
  const copied: unknown[] = []
  for (const item of items) {
    if (budget.left <= 0) return [...copied, `[… ${items.length} items]`]
    copied.push(copy(item, budget, depth + 1))
  }
  return copied
}

function copyMembers (source: object, budget: Budget, depth: number): Record<string, unknown> {
  const members = Object.entries(source)
  const copied: [string, unknown][] = []
  for (const [name, value] of members) {
    if (budget.left <= 0) {
      copied.push(['…', `[… ${members.length} members]`])
      break
    }
    const shown = copyText(name, budget)
    copied.push([shown, budget.secrets.hides(name, value) ? redacted : copy(value, budget, depth + 1)])
  }
  return Object.fromEntries(copied)
}

/** Why a cell cannot be had, in words for the operator: `reason` says what is wrong, `hint` what to do. Never sent to callers. */
export class SandboxError extends Error {
  readonly reason: string
  readonly hint: string | undefined

  constructor (reason: string, hint?: string, cause?: unknown) {
    super(hint === undefined ? reason : `${reason} ${hint}`, { cause })
    this.name = 'SandboxError'
    this.reason = reason
    this.hint = hint
  }
}

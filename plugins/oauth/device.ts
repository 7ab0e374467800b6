import type { errors, KoaContextWithOIDC } from 'oidc-provider'

import type { Pages } from './pages.ts'

/** The pages of the device flow (RFC 8628): type the code, compare it, done. */
export function devicePages (pages: Pages) {
  return {
    async userCodeInputSource (ctx: KoaContextWithOIDC, form: string, _out?: unknown, error?: errors.OIDCProviderError | Error): Promise<void> {
      ctx.type = 'html'
      ctx.body = pages.device({
        title: 'Connect a device',
        text: 'Type the code that your device or terminal shows.',
        form: labelled(form, error !== undefined),
        formId: 'op.deviceInputForm',
        code: undefined,
        ...(error !== undefined && { error: explain(error) }),
      })
      return await Promise.resolve()
    },
    async userCodeConfirmSource (ctx: KoaContextWithOIDC, form: string, client: { clientName?: string | undefined, clientId: string }, _device: unknown, userCode: string): Promise<void> {
      ctx.type = 'html'
      ctx.body = pages.device({
        title: 'Is this your code?',
        text: `${client.clientName ?? client.clientId} asks to be connected. Continue only if your device shows this very code, and you started it yourself.`,
        form,
        formId: 'op.deviceConfirmForm',
        code: userCode,
      })
      return await Promise.resolve()
    },
    async successSource (ctx: KoaContextWithOIDC): Promise<void> {
      ctx.type = 'html'
      ctx.body = pages.message({ title: 'Connected', text: 'Your device is connected.', hint: 'You can close this page.' })
      return await Promise.resolve()
    },
  }
}

/** The field comes without a label, and with a handler that the content security policy forbids. */
function labelled (form: string, isRefused: boolean): string {
  return form.replace(/ onfocus="[^"]*"/, '').replace('type="text" name="user_code"', 'id="user_code" type="text" name="user_code" autocapitalize="characters" spellcheck="false"' + (isRefused ? ' aria-invalid="true" aria-describedby="fault"' : ''))
    .replace('<input\n', '<label for="user_code">Code</label><input\n').replace(' placeholder="Enter code"', '')
}

function explain (error: Error): string {
  return NAMES[error.name] ?? 'This code cannot be used. Start again on your device.'
}

const NAMES: Readonly<Record<string, string>> = {
  NoCodeError: 'Type the code first.',
  NotFoundError: 'This code is not known. Compare it with your device.',
  ExpiredError: 'This code has expired. Start again on your device.',
  AlreadyUsedError: 'This code was used already. Start again on your device.',
  AbortedError: 'The connection was cancelled.',
}

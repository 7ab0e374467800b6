import { fileURLToPath } from 'node:url'

import { Eta } from 'eta'

/** The pages a person sees on the way in. Every value is escaped by the templates; none has a script or loads anything from elsewhere. */
export interface Pages {
  login (page: LoginPage): string
  consent (page: ConsentPage): string
  device (page: DevicePage): string
  message (page: MessagePage): string
  accountLogin (page: AccountLoginPage): string
  account (page: AccountPage): string
}

interface Form {
  /** Where the form goes. */
  readonly action: string
  readonly csrf: string
}

/** Another place to log in at. */
export interface ProviderButton {
  readonly title: string
  /** Where its form goes. */
  readonly action: string
}

export interface LoginPage extends Form {
  readonly providers: readonly ProviderButton[]
  /** The program that sent the person here. */
  readonly client: string
  readonly username?: string
  readonly error?: string
}

export interface ConsentPage extends Form {
  readonly client: string
  /** Host whose document describes the client; undefined: it registered itself, and its name proves nothing. */
  readonly host: string | undefined
  /** Where the code will be sent, for people. */
  readonly destination: string
  readonly user: string
  /** What it may do, a sentence each. */
  readonly rights: readonly string[]
  /** Whether somebody else can log in from here. */
  readonly canSwitch: boolean
}

export interface DevicePage {
  readonly title: string
  readonly text: string
  /** The form that oidc-provider made: its fields are hidden or named. */
  readonly form: string
  /** Id of that form, for the controls outside of it. */
  readonly formId: string
  /** Ask for the code, or show it to be compared. */
  readonly code: string | undefined
  readonly error?: string
}

export interface MessagePage {
  readonly title: string
  readonly text: string
  readonly hint?: string
  /** What is wrong in the words of the protocol: for the maker of the app, not for the person. */
  readonly detail?: string
}

export interface AccountLoginPage {
  readonly csrf: string
  readonly providers: readonly ProviderButton[]
  /** Somebody has just logged out. */
  readonly done: boolean
  readonly username?: string
  readonly error?: string
}

export interface AccountRow {
  readonly title: string
  readonly note: string | undefined
  readonly facts: readonly string[]
  /** Where the form that ends it goes. */
  readonly action: string
}

/** A server that a person reaches. */
export interface ServerRow {
  readonly name: string
  /** What it is confined by, in words. */
  readonly confinement: string
  /** Nothing confines it. */
  readonly isBare: boolean
}

export interface AccountPage {
  readonly csrf: string
  readonly user: string
  /** Somebody who always logs in elsewhere has none. */
  readonly hasPassword: boolean
  /** What was just done, in words. */
  readonly done: string | undefined
  /** What was wrong with the new password, or with the new token. */
  readonly error: string | undefined
  readonly tokenError: string | undefined
  /** The token that was just made: the only time that anybody sees it. */
  readonly made: { readonly name: string, readonly token: string } | undefined
  readonly programs: readonly AccountRow[]
  readonly logins: readonly AccountRow[]
  readonly tokens: readonly AccountRow[]
  readonly servers: readonly ServerRow[]
  /** Days that a new token may live. */
  readonly lifetimes: readonly number[]
}

/** ui/ stands beside plugins/ in the sources, and one level further up when built into dist/. */
export function uiFolder (): string {
  const built = import.meta.url.includes('/dist/plugins/')
  return fileURLToPath(new URL(built ? '../../../ui/door/' : '../../ui/door/', import.meta.url))
}

/** Reads every template once, so that one that cannot be parsed fails the start and not a login. */
export function openPages (): Pages {
  const eta = new Eta({ views: uiFolder(), cache: true, autoEscape: true })
  const page = <Values extends object>(name: string) => (values: Values): string => eta.render(`./${name}`, { error: undefined, hint: undefined, detail: undefined, username: undefined, ...values })
  return { login: page<LoginPage>('login'), consent: page<ConsentPage>('consent'), device: page<DevicePage>('device'), message: page<MessagePage>('message'), accountLogin: page<AccountLoginPage>('account-login'), account: page<AccountPage>('account') }
}

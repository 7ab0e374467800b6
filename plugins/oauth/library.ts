import { letWarn } from './hush.ts'
import Provider, { errors, interactionPolicy } from 'oidc-provider'

// Imports are evaluated in their order: what the library says while it is loaded is over.
letWarn()

/** oidc-provider, loaded without its sentence about Node 20. */
export { errors, interactionPolicy, Provider }

import type { FastifyInstance } from 'fastify'

import type { Administration } from '../../src/identity/administration.ts'
import { by } from './administrator.ts'
import { LISTING, onWire, pageOf } from './listing.ts'
import type { Listing } from './listing.ts'

interface Named { readonly name: string }

/** Who may log in, and what they are. */
export function users (app: FastifyInstance, administration: Administration): void {
  app.get<{ Querystring: Listing }>('/admin/api/users', { schema: { querystring: LISTING } }, async (request) => {
    return onWire('users', await administration.listUsers(pageOf(request.query)))
  })

  app.post<{ Body: { name: string, roles?: string[], password?: string } }>('/admin/api/users', { schema: { body: NEW_USER } }, async (request, reply) => {
    const { name, roles, password } = request.body
    return await reply.code(201).send(await administration.addUser({ name, roles, password }, by(request)))
  })

  app.put<{ Params: Named, Body: { roles: string[] } }>('/admin/api/users/:name/roles', { schema: { body: ROLES } }, async (request) => {
    return await administration.setRoles(request.params.name, request.body.roles, by(request))
  })

  for (const [verb, disabled] of [['disable', true], ['enable', false]] as const) {
    app.post<{ Params: Named }>(`/admin/api/users/:name/${verb}`, async (request) => await administration.setDisabled(request.params.name, disabled, by(request)))
  }

  app.post<{ Params: Named, Body: { password?: string } }>('/admin/api/users/:name/password', { schema: { body: PASSWORD } }, async (request) => {
    return await administration.resetPassword(request.params.name, request.body.password, by(request))
  })
}

const SECRET = { type: 'string', minLength: 1, maxLength: 1024 }
const ROLE_LIST = { type: 'array', items: { type: 'string', minLength: 1, maxLength: 64 }, maxItems: 50 }
const NEW_USER = { type: 'object', properties: { name: { type: 'string', minLength: 1, maxLength: 256 }, roles: ROLE_LIST, password: SECRET }, required: ['name'], additionalProperties: false }
const ROLES = { type: 'object', properties: { roles: ROLE_LIST }, required: ['roles'], additionalProperties: false }
const PASSWORD = { type: 'object', properties: { password: SECRET }, additionalProperties: false }

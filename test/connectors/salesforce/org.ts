// A Salesforce answered by nock, strict both ways: a call nobody expects fails, and so does an answer nobody fetched.
import nock from 'nock'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { API_VERSION } from '../../../connectors/salesforce/api.ts'
import type { SalesforceCredential } from '../../../connectors/salesforce/auth.ts'
import { Fatal } from '../../../src/errors.ts'

export const HOST = 'https://acme.my.salesforce.com'
export const DATA = `/services/data/v${API_VERSION}`
export const SELF = '005000000000001AAA'
export const REP = '005000000000002AAA'
export const never = new AbortController().signal

/** Ids of 18 characters, as Salesforce has them. */
export const dealId = (n: number) => `006${String(n).padStart(12, '0')}AAA`
export const taskId = (n: number) => `00T${String(n).padStart(12, '0')}AAA`

export function strictNock(): void {
  beforeAll(() => {
    if (!nock.isActive()) nock.activate()
    nock.disableNetConnect()
  })
  afterEach(() => {
    const unused = nock.pendingMocks()
    nock.cleanAll()
    expect(unused).toEqual([])
  })
  afterAll(() => {
    nock.enableNetConnect()
    nock.restore()
  })
}

/** Hands out these tokens, one after each `expired`; then it gives up. */
export function tokens(...list: string[]): SalesforceCredential & { readonly refused: string[] } {
  const refused: string[] = []
  const session = async () => {
    const token = list[refused.length]
    if (token === undefined) throw new Fatal('credentials', 'no token left')
    return { token, instanceUrl: HOST, user: SELF }
  }
  return {
    refused,
    session,
    token: async () => (await session()).token,
    expired: (token) => {
      refused.push(token)
    },
  }
}

export function quietGate(left = Number.POSITIVE_INFINITY) {
  const pauses: number[] = []
  const seen: { remaining?: number; max?: number }[] = []
  return {
    pauses,
    seen,
    wait: async (signal: AbortSignal) => {
      signal.throwIfAborted()
      return () => {}
    },
    left: () => left,
    observe: (one: { remaining?: number; max?: number; pauseMs?: number }) => {
      if (one.pauseMs !== undefined) pauses.push(one.pauseMs)
      else seen.push(one)
    },
  }
}

export const page = (records: Record<string, unknown>[], next?: string, totalSize = records.length) => ({
  done: next === undefined,
  totalSize,
  records,
  ...(next ? { nextRecordsUrl: `${DATA}/query/${next}` } : {}),
})

export const apiError = (errorCode: string, message: string) => [{ errorCode, message }]

// The frame of every page: navigation, language, messages. Works without scripts; `html` escapes whatever is put in.
import { html } from 'hono/html'
import type { HtmlEscapedString } from 'hono/utils/html'
import type { WebWords } from '../texts/web-en.ts'

export type Html = HtmlEscapedString | Promise<HtmlEscapedString>
export type Role = 'viewer' | 'operator'

/** What a page needs to know of whoever looks at it. */
export interface Viewer {
  readonly role: Role
  readonly words: WebWords
  /** Of the session; every form that changes something carries it (`formToken`). */
  readonly csrf: string
  /** Null: nobody signed in, because this machine alone can reach the page. */
  readonly name: string | null
  /** Signed in with a password: there is something to sign out of. */
  readonly signsOut: boolean
}

export interface Page {
  /** Plain text, which may come from outside. */
  readonly title: string
  /** Path of the navigation entry it belongs to. */
  readonly at: string
  readonly body: Html
  /** Nobody is signed in: no navigation. */
  readonly bare?: boolean
  /** Query of its address, `?…`: kept when the language changes. */
  readonly search?: string
  /** Something is being prepared: looks again after so many seconds. */
  readonly refreshAfter?: number
}

/** Entries of the navigation, in order; the queue is for operators. */
const NAVIGATION = ['tonight', 'deals', 'coaching', 'runs', 'connections', 'queue'] as const

export function layout(viewer: Viewer, { title, at, body, search = '', refreshAfter, bare = false }: Page): Html {
  const { words, role, name, signsOut } = viewer
  const entries = NAVIGATION.filter((entry) => entry !== 'queue' || role === 'operator')
  const link = (entry: (typeof NAVIGATION)[number]) => {
    const path = entry === 'tonight' ? '/' : `/${entry}`
    return html`<li><a href="${path}"${at === path ? html` aria-current="page"` : ''}>${words.nav[entry]}</a></li>`
  }
  return html`<!doctype html>
<html lang="${words.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – unstall</title>
${refreshAfter === undefined ? '' : html`<meta http-equiv="refresh" content="${refreshAfter}">`}
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E%3Ccircle cx='4' cy='4' r='4' fill='%23e08a1e'/%3E%3C/svg%3E">
</head>
<body>
<a class="skip" href="#content">${words.skip}</a>
<header class="top"><div><a class="brand" href="/">unstall</a>
${
  bare
    ? ''
    : html`<nav aria-label="${words.navigation}"><ul>
${entries.map(link)}
</ul></nav>${name === null ? '' : html`<span class="who">${name}</span>`}${signsOut ? html`<form method="post" action="/logout">${formToken(viewer)}<button class="quiet">${words.access.signOut}</button></form>` : ''}`
}</div></header>
<main id="content" tabindex="-1">
<h1 dir="auto">${title}</h1>
${body}
</main>
<footer><div><p>${words.pages.footer.local}</p>
<nav aria-label="${words.pages.footer.language}"><ul>
${LANGUAGES.map((language) => html`<li><a href="${inLanguage(search, language)}" lang="${language}" hreflang="${language}"${words.language === language ? html` aria-current="true"` : ''}>${words.pages.footer[language]}</a></li>`)}
</ul></nav></div></footer>
</body>
</html>`
}

const LANGUAGES = ['en', 'fr'] as const
function inLanguage(search: string, language: string): string {
  const query = new URLSearchParams(search)
  query.set('language', language)
  return `?${query}`
}

/** The first field of every form that changes something. */
export const formToken = ({ csrf }: Viewer): Html => html`<input type="hidden" name="csrf" value="${csrf}">`

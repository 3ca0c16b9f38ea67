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
}

export interface Page {
  readonly title: string
  /** Path of the navigation entry it belongs to. */
  readonly at: string
  readonly body: Html
}

/** Entries of the navigation, in order; `operator`: only shown to operators. */
export const NAVIGATION: readonly {
  readonly path: string
  readonly text: keyof WebWords['nav']
  readonly operator?: boolean
}[] = [
  { path: '/', text: 'tonight' },
  { path: '/deals', text: 'deals' },
  { path: '/coaching', text: 'coaching' },
  { path: '/runs', text: 'runs' },
  { path: '/connections', text: 'connections' },
  { path: '/queue', text: 'queue', operator: true },
]

export function layout({ words, role, name }: Viewer, { title, at, body }: Page): Html {
  const entries = NAVIGATION.filter(({ operator }) => !operator || role === 'operator')
  return html`<!doctype html>
<html lang="${words.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – unstall</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<a class="skip" href="#content">${words.skip}</a>
<header><a class="brand" href="/">unstall</a>
<nav aria-label="${words.navigation}"><ul>
${entries.map(({ path, text }) => html`<li><a href="${path}"${at === path ? html` aria-current="page"` : ''}>${words.nav[text]}</a></li>`)}
</ul></nav>${name === null ? '' : html`<span class="who">${name}</span>`}</header>
<main id="content" tabindex="-1">
<h1>${title}</h1>
${body}
</main>
</body>
</html>`
}

/** The first field of every form that changes something. */
export const formToken = ({ csrf }: Viewer): Html => html`<input type="hidden" name="csrf" value="${csrf}">`

// The stylesheet of the dashboard, on top of what it shares with the report. System fonts, light and dark by the reader's
// setting, from a telephone to a wide screen.
import { BASE_CSS } from '../report/style.ts'

export const STYLE = `${BASE_CSS}
:root { --card: #fff; --edge: 10px; --shade: 0 1px 2px rgb(20 30 50 / .06) }
@media (prefers-color-scheme: dark) { :root { --card: #191e27; --shade: none } }
html { scroll-padding-top: 16px } body { min-height: 100vh; display: flex; flex-direction: column; background: var(--band) }
.unseen { left: auto; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px } main:focus { outline: none }
.skip { position: absolute; left: 12px; top: -60px; background: var(--card); padding: 8px 14px; z-index: 2 } .skip:focus { top: 8px }
small { display: block; color: var(--soft); font-size: .82rem; font-weight: 400; line-height: 1.4 } bdi { overflow-wrap: anywhere }
a { text-underline-offset: .15em; text-decoration-thickness: 1px } a:hover { text-decoration-thickness: 2px }

.top { background: var(--card); border-bottom: 1px solid var(--rule) }
.top > div, footer > div, main { width: 100%; max-width: 1220px; margin: 0 auto; padding-inline: 24px }
.top > div { display: flex; flex-wrap: wrap; align-items: center; gap: 0 28px }
.brand { font-weight: 750; font-size: 1.15rem; letter-spacing: -.02em; color: var(--text); text-decoration: none; padding: 14px 0 }
.brand::before { content: ''; display: inline-block; width: .55em; height: .55em; margin-inline-end: .45em; border-radius: 50%; background: var(--stalled) }
.top ul, .tabs ul, footer ul { display: flex; flex-wrap: wrap; list-style: none; margin: 0; padding: 0 }
.top ul { gap: 0 22px } .top nav a { display: block; padding: 15px 0 12px; color: var(--soft); text-decoration: none; border-bottom: 3px solid transparent }
.top nav a:hover { color: var(--text) } .top nav a[aria-current] { color: var(--text); font-weight: 600; border-color: var(--moving) }
.who { margin-inline-start: auto; color: var(--soft) } .top form { margin: 0 }
main { flex: 1; padding-block: 28px 56px } h1 { font-size: 1.75rem; line-height: 1.2; letter-spacing: -.02em; margin: 0 0 6px; overflow-wrap: anywhere }
h2 { font-size: 1.15rem; margin: 28px 0 12px } h3 { font-size: 1.05rem; margin: 20px 0 10px } h2:first-child, h3:first-child { margin-top: 0 } h2.name { margin: 36px 0 0; font-size: 1.35rem }
.lead { color: var(--soft); margin: 0 0 18px } .state { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px } section { margin: 28px 0 }
footer { border-top: 1px solid var(--rule); color: var(--soft); font-size: .87rem } footer > div { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 24px; padding-block: 18px }
footer p { margin: 0 } footer ul { gap: 16px } footer a[aria-current] { color: var(--text); font-weight: 600; text-decoration: none }

.tabs { margin: 18px 0 } .tabs ul { gap: 6px } .tabs a { display: block; padding: 6px 14px; border: 1px solid var(--rule); border-radius: 99px; background: var(--card); color: var(--text); text-decoration: none }
.tabs a:hover { border-color: var(--soft) } .tabs a[aria-current] { background: var(--text); border-color: var(--text); color: var(--page); font-weight: 600 }
.count { opacity: .75; font-variant-numeric: tabular-nums; font-weight: 400; margin-inline-start: .3em } .tabs a[aria-current] .count { opacity: 1 }
button, .button { display: inline-block; font: inherit; font-weight: 600; padding: 8px 18px; border: 1px solid transparent; border-radius: 8px; background: var(--link); color: var(--page); text-decoration: none; cursor: pointer }
button:hover, .button:hover { filter: brightness(1.12) } .quiet, .pager .button { background: transparent; color: var(--link); border-color: var(--rule) }
input, select, textarea { font: inherit; color: var(--text); background: var(--page); border: 1px solid var(--soft); border-radius: 7px; padding: 7px 10px; max-width: 100% }
input, select, button { min-height: 40px } h1 + .tabs { margin-top: 14px }
label { display: block; font-size: .85rem; color: var(--soft); margin-bottom: 3px }

.headline, .empty, .verdict, .columns > section, .filters, .facts div, .scroll, .todo li, .calm, figure { background: var(--card); border: 1px solid var(--rule); border-radius: var(--edge); box-shadow: var(--shade) }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); margin: 18px 0 }
.figure { padding: 22px 26px } .figure + .figure { border-inline-start: 1px solid var(--rule) }
.figure dl { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; margin: 0 0 14px } .figure dd { font-size: clamp(1.35rem, 3.2vw, 2.25rem); line-height: 1.15; letter-spacing: -.03em; font-weight: 600; color: var(--soft); overflow-wrap: anywhere }
.figure .honest dd { color: var(--text); font-weight: 700 } .headline > .note { padding: 0 26px 16px; margin: 0; grid-column: 1 / -1 }
.gap { font-size: 1.05rem; margin: 14px 0 4px } .figure .note { margin: 0 }
.bar { height: 8px; border-radius: 99px; overflow: hidden } .bar rect { fill: var(--moving) } .bar .whole { fill: var(--stalled) }
.ranking .bar { height: 5px; margin-top: 6px } .ranking .bar rect { fill: var(--stalled) } .ranking .bar .whole { fill: var(--rule) }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 20px } .columns > section { margin: 0; padding: 20px 24px }
.ranking tbody tr { background: none } .ranking th, .ranking td { padding-inline: 0 } .ranking td { padding-inline-start: 16px } .ranking tbody th { max-width: none } .ranking tbody tr:last-child > * { border-bottom: 0 }
.ranking tbody a { color: var(--text); text-decoration-color: var(--soft) }
.facts { grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)) } .facts dd { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere }
figure { padding: 18px 22px; margin: 12px 0 } figure .wide { max-width: none }
.todo { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 12px; align-items: start }
.todo li { padding: 12px 18px; border-inline-start: 4px solid var(--stalled) } .todo li.alarmed { border-inline-start-color: var(--alarm) } .todo p { margin: 3px 0 } .todo li > p:first-child { font-weight: 600 }
.calm { padding: 12px 18px; border-inline-start: 4px solid var(--moving); max-width: none; margin: 0 }
.empty { padding: 32px 28px; text-align: center; border-style: dashed; box-shadow: none } .empty p { margin-inline: auto; max-width: 62ch }

.filters { padding: 14px 18px; margin: 0 0 18px; display: flex; flex-wrap: wrap; align-items: end; gap: 12px 14px } .filters p { margin: 0; max-width: none } .filters .words { flex: 1 1 220px } .filters .words input { width: 100% }
.filters details { flex: 1 0 100%; order: 1; margin: 0 } .filters details > div { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 190px), 1fr)); gap: 10px 14px; padding-top: 10px } .filters select { width: 100% } .filters .go a { margin-inline-start: 10px }
.scroll { margin: 16px 0; overflow-x: auto } h2 + .scroll, h3 + .scroll { margin-top: 0 } .scroll table { font-size: .92rem } .scroll th, .scroll td { padding: 9px 12px } .scroll tbody tr:last-child > * { border-bottom: 0 }
caption { padding-inline: 12px } h2 + .scroll caption, h3 + .scroll caption, summary + .scroll caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) } 
thead a { color: inherit } th[aria-sort] a { color: var(--text); font-weight: 700 } th[aria-sort=descending] a::after { content: ' ↓' } th[aria-sort=ascending] a::after { content: ' ↑' }
.deals tbody th { font-weight: 600; min-width: 14em } .deals td:not(.n) { min-width: 6.2em } .deals .why { min-width: 23em } .deals .out { font-size: .82rem; font-weight: 400 }
.badge { display: inline-block; padding: 1px 10px; border-radius: 99px; font-size: .82rem; font-weight: 600; background: color-mix(in srgb, var(--moving) 20%, transparent); white-space: nowrap }
.badge.stalled { background: color-mix(in srgb, var(--stalled) 28%, transparent) } .badge.parked, .badge.answered_no, .badge.closed, .badge.gone { background: color-mix(in srgb, var(--soft) 22%, transparent) }
.pager { display: flex; justify-content: space-between; align-items: center; gap: 16px; margin: 16px 0 } .out::after { content: ' ↗'; color: var(--soft) }
.about { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 14px 16px; margin: 18px 0; padding: 0 } .about dd { font-size: 1rem; font-weight: 600 } .about dt { min-height: 0 }
.verdict { padding: 20px 24px } .verdict p { margin: 6px 0 } .holds { color: var(--alarm) } .soft, .source { color: var(--soft) } .warned::before { content: '⚠ ' }
.timeline { list-style: none; margin: 0; padding: 0 0 0 22px; border-inline-start: 2px solid var(--rule) } .timeline li { position: relative; padding: 0 0 16px } .timeline p { margin: 0; max-width: none }
.timeline li::before { content: ''; position: absolute; left: -29px; top: .4em; width: 12px; height: 12px; border-radius: 50%; background: var(--band); border: 2px solid var(--soft) }
.timeline .strong::before { background: var(--moving); border-color: var(--moving) } .timeline .weak::before { border-color: var(--moving) } .timeline .when { color: var(--soft); font-variant-numeric: tabular-nums } .timeline .source { font-size: .82rem } .timeline strong { font-weight: 600 } .timeline .no strong { font-weight: 400 }
form.narrow { max-width: 26rem }

@media screen and (max-width: 700px) {
  .facts { grid-template-columns: 1fr 1fr } .sheet td:not(.n) { min-width: 17em }
  .top > div, footer > div, main { padding-inline: 16px } .top nav { width: 100%; order: 2 } .top ul { gap: 0 16px } .top nav a { padding: 6px 0 7px } .brand { padding: 10px 0 2px }
  main { padding-block: 20px 40px } h1 { font-size: 1.45rem } .figure { padding: 18px } .figure + .figure { border-inline-start: 0; border-top: 1px solid var(--rule) } .columns > section, .verdict { padding: 16px } figure { padding: 14px }
  .deals thead { display: none } .deals, .deals tbody { display: block } .deals tbody tr { display: grid; grid-template-columns: 1fr 1fr; gap: 6px 14px; padding: 14px; border-bottom: 1px solid var(--rule) } .deals tbody tr:last-child { border: 0 }
  .deals tbody th, .deals td, .deals td:not(.n), .deals .why { padding: 0; border: 0; min-width: 0; max-width: none; text-align: start; white-space: normal } .deals th, .deals .why { grid-column: 1 / -1 } .deals td::before { content: attr(data-label); display: block; color: var(--soft); font-size: .82rem } .deals td.why::before { content: none }
  .filters p { flex: 1 1 100% } .filters select { width: 100% }
}
@media print { .top nav, footer, .filters, .tabs, .pager, .skip { display: none } body { background: #fff } }

/* One run, its deals, the connections. */
.connection, .deal { background: var(--card); border: 1px solid var(--rule); border-radius: var(--edge); box-shadow: var(--shade); padding: 18px 22px; margin: 18px 0 }
.connection h2 small { display: inline; margin-inline-start: .5em } .connection .facts dd { font-size: 1.02rem } .deal h3 { margin: 0 0 8px; overflow-wrap: anywhere } .deal .scroll { border: 0; box-shadow: none }
.actions { display: flex; flex-wrap: wrap; gap: 10px; align-items: center; margin-top: 16px } .actions form { margin: 0 } .action { margin: 18px 0 }
.notice { padding: 10px 16px; border-inline-start: 4px solid var(--moving); background: var(--card) } .body { white-space: pre-wrap }
.mark { font-weight: 700 } .mark.ok { color: var(--moving) } .mark.problem { color: var(--alarm) }
main > .scroll { margin: 16px 0 }
@media screen and (max-width: 700px) { .connection, .deal { padding: 14px } .deal thead { display: none } .deal table, .deal tbody, .deal tr, .deal th, .deal td { display: block }
  .deal tr { padding: 8px 4px; border-bottom: 1px solid var(--rule) } .deal tbody th, .deal td, .deal td:not(.n) { padding: 1px 0; border: 0; max-width: none } .deal tbody th { font-weight: 600 }
  .deal td::before { content: attr(data-label) ': '; color: var(--soft); font-size: .85rem } .deal td:empty { display: none } }
`

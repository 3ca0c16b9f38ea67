// How report and dashboard both look: colours for light and dark, tables, figures and large numbers. No inline styles:
// the dashboard's content security policy forbids them.

export const BASE_CSS = `
:root { color-scheme: light dark; --page: #fff; --text: #1d2430; --soft: #5b6675; --rule: #d9dee6; --band: #f4f6f9;
  --moving: #2f6fb7; --stalled: #e08a1e; --link: #1d5aa0; --alarm: #b3261e }
@media (prefers-color-scheme: dark) { :root { --page: #14181f; --text: #e6eaf0; --soft: #a3adba; --rule: #39424f;
  --band: #1c222b; --moving: #5f9de0; --stalled: #f0a648; --link: #8ab8ee; --alarm: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif }
p { margin: 8px 0; max-width: 80ch; overflow-wrap: anywhere } .note, caption, figcaption { color: var(--soft) } .alarm { color: var(--alarm); font-weight: 600 }
a { color: var(--link) }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 12px 0 }
dt { min-height: 1.3em } .facts div { display: flex; flex-direction: column; justify-content: space-between; background: var(--band); border: 1px solid var(--rule); border-radius: 8px; padding: 10px 12px }
dt { color: var(--soft); font-size: .85rem } dd { margin: 0; font-size: 1.4rem; font-weight: 600; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto; margin: 14px 0 } table { border-collapse: collapse; width: 100%; font-size: .92rem }
caption { text-align: start; padding: 4px 0; font-weight: 600 }
th, td { padding: 5px 10px; text-align: start; vertical-align: top; border-bottom: 1px solid var(--rule); overflow-wrap: break-word }
thead th { border-bottom: 2px solid var(--rule); color: var(--soft); font-size: .82rem; vertical-align: bottom }
tbody th { font-weight: 500; min-width: 9em; max-width: 24em } td { max-width: 30em } td:not(.n) { min-width: 8em } tbody tr:nth-child(even) { background: var(--band) }
.n { text-align: end; font-variant-numeric: tabular-nums } td.n { white-space: nowrap }
figure { margin: 14px 0 } figcaption { font-weight: 600; font-size: .92rem; padding-bottom: 6px }
svg { display: block; width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif }
details { margin: 10px 0 } summary { cursor: pointer; font-weight: 600; color: var(--soft); font-size: .92rem } .unseen { position: absolute; left: -999em }
figure .wide { max-width: 860px } figure .narrow { display: none }
@media screen and (max-width: 600px) { figure .wide { display: none } figure .narrow { display: block }
  th, td { padding: 5px 6px } .facts { grid-template-columns: 1fr 1fr } tbody th { min-width: 7em } }
`

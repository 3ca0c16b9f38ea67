// Français : les mots des résumés envoyés. `{…}` sont des trous ; voir `fill`.
import type { DigestWords } from './digest-en.ts'
import { typesetAll } from './fr.ts'

export const digestFr: DigestWords = typesetAll({
  weekly: {
    subject: "Votre pipeline au {date}. Affaires à l'arrêt : {stalled}",
    of: 'Ne concerne que : {names}.',
    dashboard: 'Tout, jour par jour',
    cut: 'Les {shown} premières sur {total} sont affichées.',
  },
  nightly: {
    begins: 'unstall a besoin de vous : {problems}',
    goesOn: 'unstall : {problems}',
    over: "unstall : tout est rentré dans l'ordre",
    new: 'Nouveau',
    changed: 'Changé',
    still: 'Inchangé',
    ended: 'Terminé',
    reminder: "Rien n'a changé depuis une semaine.",
  },
  troubles: {
    failed: "{connection} : la nuit ne s'est pas terminée. {words}",
    missed: "{connection} : la nuit du {date} n'a pas commencé. Un worker d'unstall tourne-t-il ?",
    paused: '{connection} : en attente du CRM depuis {at} ; cela reprendra tout seul. {words}',
    reconnect: "{connection} : le CRM refuse désormais l'accès à unstall ; rien n'y est lu ni écrit. {words}",
    held: '{connection} : écritures retenues par prudence : {count} ({words}). « unstall report {connection} » dit pourquoi.',
    refused: '{connection} : écritures refusées par le CRM : {count}. « unstall runs {run} » les énumère.',
    quarantined:
      "{connection} : fiches qui n'ont pas pu être comprises : {count}. Elles attendent ; « unstall runs {run} » les énumère.",
  },
  example: '{name} : {words}',
  short: {
    ...{ failed: '{connection} a échoué', missed: '{connection} a manqué sa nuit', paused: '{connection} attend' },
    ...{ reconnect: '{connection} doit être reconnecté', held: '{connection} a retenu des écritures' },
    refused: 'le CRM de {connection} a refusé des écritures',
    quarantined: '{connection} a des fiches illisibles',
  },
  brakes: {
    share: "bien plus d'affaires que d'habitude seraient signalées",
    cap: "plus d'écritures qu'une nuit n'en fait",
    ...{ field_missing: "un champ d'unstall manque", stale_snapshot: "le CRM n'a pas pu être lu à temps" },
  },
})

// What a run says of what it left alone is stored with it in English, like a log; this says the same in French. The
// English sentence is the key, its holes stand for what varies. A sentence nobody translated, and the CRM's own words,
// stay as they are.
import type { Texts } from '../core/explain.ts'
import { typeset } from './fr.ts'
import { fill } from './shared.ts'

/** What opening a run refuses. */
function refusals(): Readonly<Record<string, string>> {
  const [again, encore] = [
    'Run "unstall plan" and confirm the preview it names.',
    'Faites un nouvel aperçu et confirmez celui-là.',
  ]
  return {
    [`There is no preview named {id}. ${again}`]: `Il n'y a pas d'aperçu {id}. ${encore}`,
    [`Preview {id} is of {one}, not of {other}. ${again}`]: `L'aperçu {id} est de {one}, pas de {other}. ${encore}`,
    [`Preview {id} did not finish ({status}). ${again}`]: `L'aperçu {id} n'est pas terminé ({status}). ${encore}`,
    [`Preview {id} is older than a day. ${again}`]: `L'aperçu {id} a plus d'un jour. ${encore}`,
    [`The settings have changed since preview {id}. ${again}`]: `Les réglages ont changé depuis l'aperçu {id}. ${encore}`,
    'There is no run named {id}. "unstall runs" lists them.': "Il n'y a pas d'exécution {id}.",
    '{id} is a preview: it wrote nothing, so there is nothing to take back.':
      "{id} est un aperçu : rien n'a été écrit, il n'y a donc rien à annuler.",
    '{id} is itself an undo. Use "unstall run --again <deal>" to flag a deal again.':
      '{id} est elle-même une annulation. Pour signaler de nouveau une affaire : unstall run --again <affaire>',
    '{id} is not over yet. Finish it first with: unstall run {connection}':
      "{id} n'est pas terminée. Attendez sa fin, ou terminez-la avec : unstall run {connection}",
    'Nothing of {what} is left to take back: it was undone before.':
      'Il ne reste rien à annuler de {what} : cela a déjà été annulé.',
    'Nothing of {what} is left to take back.': 'Il ne reste rien à annuler de {what}.',
    'The CRM did not answer within a minute.': "Le CRM n'a pas répondu en une minute.",
  }
}

const SENTENCES: Readonly<Record<string, string>> = {
  ...{ stage: 'étape', pipeline: 'pipeline', 'won or lost': 'gagnée ou perdue', owner: 'propriétaire', type: 'type' },
  ...{ 'close date': 'date de clôture', amount: 'montant', currency: 'devise', decision: 'décision' },
  answer: 'réponse',
  ...{ 'decision date': 'date de décision', 'parked until': "en pause jusqu'au" },
  'reason for parking': 'motif de pause',
  ...{ flag: 'signalement', 'stalled since': "à l'arrêt depuis", rule: 'règle', 'last movement': 'dernier mouvement' },
  ...{ 'category before': 'catégorie antérieure', 'forecast category': 'catégorie de prévision', state: 'état' },
  ...{ archive: 'archives', task: 'tâche', 'completed task': 'tâche terminée' },
  ...{ explanation: 'explication', cause: 'cause' },
  ...{ nothing: 'rien', empty: 'vide' },
  'we wrote {wrote}, somebody made it {found}': "unstall avait écrit {wrote}, quelqu'un a mis {found}",
  '{run} wrote it again and its value is there: take that run back as well':
    "{run} l'a écrit de nouveau et sa valeur y est : annulez aussi cette exécution",
  'the deal is closed: nothing of ours is put back on it': "l'affaire est fermée : rien n'y est remis",
  'it stays {found}: the stage the deal is in now is out of the forecast by itself':
    "reste {found} : l'étape actuelle de l'affaire est d'elle-même hors prévision",
  'the deal was deleted or merged': "l'affaire a été supprimée ou fusionnée",
  'the deal cannot be read at the moment: take it back again later':
    "l'affaire ne peut pas être lue pour l'instant : annulez de nouveau plus tard",
  'somebody deleted the task': "quelqu'un a supprimé la tâche",
  'somebody completed the task': "quelqu'un a terminé la tâche",
  'somebody opened the task again': "quelqu'un a rouvert la tâche",
  'somebody gave the task to another owner': "quelqu'un a confié la tâche à un autre",
  'somebody moved the task from {wrote} to {found}': "quelqu'un a déplacé la tâche du {wrote} au {found}",
  'somebody changed the text of the task': "quelqu'un a modifié le texte de la tâche",
  'the deal can no longer be read': "l'affaire ne peut plus être lue",
  'the deal was deleted': "l'affaire a été supprimée",
  ...{ 'changed by someone else': "modifié par quelqu'un d'autre", 'the task was deleted': 'la tâche a été supprimée' },
  'the task was changed by someone else': "la tâche a été modifiée par quelqu'un d'autre",
  ...{ 'the task was changed': 'la tâche a été modifiée', 'the task was completed': 'la tâche a été terminée' },
  'the deal could not be read; the next night judges it anew':
    "l'affaire n'a pas pu être lue ; la nuit suivante la réexamine",
  'somebody changed it at this moment: take it back again': "quelqu'un l'a modifié à l'instant : annulez de nouveau",
  'the deal is not known any more': "l'affaire n'est plus connue",
  'changed after it was judged: {fields}; the next night judges it anew':
    'modifiée après avoir été jugée : {fields} ; la nuit suivante la réexamine',
  'the flag of this deal was not written': "le signalement de cette affaire n'a pas été écrit",
  ...{ 'this stall already has a task': 'cet arrêt a déjà une tâche', 'nothing to take back': 'rien à annuler' },
  'planned more than a day ago': "prévu il y a plus d'un jour",
  'the run ended before this was written': "l'exécution s'est terminée avant de l'écrire",
  ...refusals(),
  'tasks of unstall cannot be found: the field of their key is missing':
    "les tâches d'unstall sont introuvables : le champ de leur clé manque",
}

export const FRENCH: ReadonlyMap<string, string> = new Map(Object.entries(SENTENCES))

const PATTERNS = [...FRENCH].flatMap(([english, french]) => {
  const holes = [...english.matchAll(/\{(\w+)\}/g)].map(([, hole = '']) => hole)
  const parts = english.split(/\{\w+\}/).map((part) => part.replace(/[.*+?()|[\]\\^$]/g, '\\$&'))
  const pattern = new RegExp(`^${parts.join('(.*)')}$`, 's')
  return holes.length === 0 ? [] : [{ french, holes, pattern }]
})

/** A stored remark, or a list of field names, in the language of a report. */
export function remark(language: Texts['language'], english: string): string {
  if (language === 'en') return english
  const known = FRENCH.get(english)
  if (known !== undefined) return typeset(known)
  for (const { french, holes, pattern } of PATTERNS) {
    const found = pattern.exec(english)
    if (found === null) continue
    const values = holes.map((hole, n) => [hole, remark(language, found[n + 1] ?? '')])
    return fill(typeset(french), Object.fromEntries(values))
  }
  const parts = english.split(', ').map((part) => FRENCH.get(part))
  return parts.includes(undefined) ? english : typeset(parts.join(', '))
}

// Français : les mots du CRM, de la ligne de commande et du rapport. Oui et non sont tous deux de bonnes réponses ; le
// non doit pouvoir se dire sans crainte. Des dates, jamais de compteurs. Les noms d'affaires sont insérés tels quels.
import type { LocalDate } from '../core/deal.ts'
import type { ExplainStep, Names, Reason, Texts } from '../core/explain.ts'
import type { Protection, Warning } from '../core/judge.ts'
import { cut, FIELD_LENGTH, formats, plain } from './shared.ts'

const { date: day, instant: time, money } = formats('fr-FR')
const date = (on: LocalDate) => day(on).replace(/^1 /, '1er ')
const instant: Texts['instant'] = (at, timezone) => time(at, timezone).replace(/^1 /, '1er ')

/** French typography on our own words, never on what is inserted: no-break spaces, typographic apostrophes. */
function t(strings: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return String.raw({ raw: strings.map(typeset) }, ...values)
}

function typeset(text: string): string {
  return text
    .replaceAll("'", '’')
    .replace(/ (?=[;?!])/g, '\u202f')
    .replace(/ (?=[:%»])/g, '\u00a0')
    .replaceAll('« ', '«\u00a0')
}

const days = (n: number) => t`${n} ${n < 2 ? 'jour ouvré' : 'jours ouvrés'}`
const times = (n: number) => `${n} fois`

const names: Names = {
  rules: {
    decision_overdue: 'Décision en retard',
    answered_maybe: t`Réponse « peut-être »`,
    yes_not_closed: 'Oui sans signature',
    close_date_passed: 'Date de clôture dépassée',
    pushed_repeatedly: 'Repoussée plusieurs fois',
    no_movement: 'Aucun mouvement',
  },
  states: {
    moving: 'En mouvement',
    stalled: 'À l’arrêt',
    parked: 'En pause',
    answered_no: 'Réponse non',
    closed: 'Fermée',
    gone: 'Supprimée ou fusionnée',
  },
  movements: {
    stage_forward: 'passage à une étape suivante',
    stage_back: 'retour à une étape précédente',
    reply: 'réponse de l’acheteur',
    meeting: 'rendez-vous avec l’acheteur',
    call: 'appel avec l’acheteur',
    reopened: 'affaire rouverte',
    closed: 'affaire fermée',
    pipeline_moved: 'passage dans un autre pipeline',
    amount_changed: 'montant modifié',
    close_date_earlier: 'date de clôture avancée',
    close_date_later: 'date de clôture repoussée',
    rep_activity: 'activité du commercial',
    field_edited: 'champ modifié',
    created: 'création de l’affaire',
    first_seen: 'première lecture de l’affaire, historique inconnu',
  },
  causes: {
    no_decision_maker: 'pas de décideur',
    budget: 'budget',
    comparing: 'comparaison d’offres',
    timing: 'calendrier',
    buyer_silent: 'acheteur silencieux',
    we_owe_something: 'la balle est dans notre camp',
  },
}

const last = ({ lastMovement: { on, kind } }: Reason) => t`${names.movements[kind]}, le ${date(on)}`

/** La limite dépassée. */
function passed({ check, stageLabel, lastMovement, pushes }: Reason): string {
  const due = check.date === null ? 'La date de décision' : t`La date de décision du ${date(check.date)}`
  const derived = check.derived ? ' (calculée depuis la proposition)' : ''
  const capped = check.capped ? ' (la plus tardive admise ; celle saisie est au-delà)' : ''
  const overdue = t`${due}${typeset(derived + capped)} est passée`
  switch (check.rule) {
    case 'decision_overdue':
      return t`${overdue} sans réponse enregistrée.`
    case 'answered_maybe':
      return (check.value ?? 0) > 1
        ? t`La réponse est « peut-être » pour la deuxième fois.`
        : t`${overdue} et la réponse est « peut-être ».`
    case 'yes_not_closed':
      return t`Réponse oui${check.date === null ? '' : ` le ${date(check.date)}`}, mais ni gagnée ni avancée d'une étape au bout de ${days(check.limit ?? 0)}.`
    case 'close_date_passed':
      return check.date === null
        ? t`La date de clôture est dépassée.`
        : t`La date de clôture du ${date(check.date)} est dépassée${check.limit ? t` de plus de ${days(check.limit)}` : ''}.`
    case 'pushed_repeatedly':
      return t`La date de clôture a été repoussée ${times(pushes)}${check.date === null ? '' : `, la dernière le ${date(check.date)}`}.`
    case 'no_movement':
      return t`Aucun mouvement depuis le ${date(lastMovement.on)} (${names.movements[lastMovement.kind]}) ; la limite à l'étape ${plain(stageLabel, 50)} est de ${days(check.limit ?? 0)}.`
  }
}

const CLEARS: Names['rules'] = {
  decision_overdue: t`un oui, un non, une étape franchie ou une nouvelle date de décision convenue (une seule)`,
  answered_maybe: t`un oui, un non, une étape franchie ou une nouvelle date de décision convenue (une seule)`,
  yes_not_closed: t`l'affaire gagnée, une étape franchie ou un non`,
  close_date_passed: t`une date de clôture sincère, aujourd'hui ou plus tard`,
  pushed_repeatedly: t`une étape franchie, un oui ou un non`,
  no_movement: t`une réponse de l'acheteur, un rendez-vous ou un appel qui a eu lieu, ou une étape franchie`,
}

/** Prêt à envoyer ; unstall n'envoie rien. */
function draft({ check, chasedBefore }: Reason): string {
  const byRule = check.rule === 'decision_overdue' || check.rule === 'answered_maybe' || check.rule === 'yes_not_closed'
  if (byRule && chasedBefore)
    return t`Bonjour,\nn'ayant pas reçu de décision de votre part, je comprends que le moment n'est pas le bon et je vais refermer le dossier de mon côté. C'est tout à fait normal. Si je me trompe, un mot suffit et je le rouvrirai avec plaisir. Merci pour le temps que vous m'avez accordé.`
  if (check.rule === 'yes_not_closed')
    return t`Bonjour,\nencore merci pour votre oui. Que manque-t-il pour conclure, et pour quelle date pouvons-nous le régler ensemble ? Si quelque chose a changé, dites-le-moi simplement : un non me va aussi.`
  if (byRule) {
    const agreed = check.date !== null && !check.derived ? t` Nous étions convenus du ${date(check.date)}.` : ''
    return t`Bonjour,\nje voudrais savoir où vous en êtes de notre proposition.${agreed} Est-ce un oui ou un non ? Les deux sont pour moi de bonnes réponses, et un non n'a pas besoin d'être justifié. S'il vous manque encore quelque chose pour décider, de quoi s'agit-il, et à quelle date déciderez-vous ?`
  }
  return t`Bonjour,\nquelle serait la bonne prochaine étape de votre côté, et pour quand ? Si vos projets ont changé ou si ce n'est plus une priorité, ce n'est pas grave : un mot suffit, et je ne vous relancerai pas davantage.`
}

const PROTECTED: Readonly<Record<Extract<Protection, { kind: 'excluded' }>['what'], string>> = {
  pipeline: 'son pipeline est exclu',
  stage: 'son étape est exclue',
  type: 'son type est exclu',
  scope: 'son propriétaire est hors du périmètre',
}

const WHY: Readonly<Record<NonNullable<Extract<ExplainStep, { step: 'event' }>['entry']['why']>, string>> = {
  own_write: t`écrit par unstall`,
  automation: t`automatique : import, workflow ou intégration`,
  not_beyond_furthest: t`pas au-delà de l'étape la plus avancée déjà atteinte`,
  below_five_percent: t`moins de 5 %`,
  not_earlier_than_before: t`pas plus tôt que toutes les dates précédentes`,
  rep_only: t`seul le commercial y a pris part`,
  no_outside_attendee: t`personne de l'extérieur n'y a pris part`,
  unknown_participants: t`le CRM ne dit pas qui y a pris part ; compté comme l'acheteur`,
  unknown_actor: t`le CRM ne dit pas qui l'a fait ; compté comme une personne`,
  not_movement: t`pas un mouvement`,
  unknown_stage: t`une étape qui n'existe plus`,
  after_flag: t`trop faible pour lever un signalement`,
}

function protection(it: Protection): string {
  switch (it.kind) {
    case 'excluded':
      return t`Jamais signalée : ${PROTECTED[it.what]}.`
    case 'answered_no':
      return t`Réponse non : une bonne réponse. Hors prévision jusqu'à la fermeture de l'affaire.`
    case 'meeting':
      return t`Protégée par un rendez-vous prévu le ${date(it.on)}.`
    case 'parked':
      return t`En pause jusqu'au ${date(it.until)}${it.capped ? t`, date la plus tardive admise ; celle saisie est au-delà` : ''}.`
    case 'answered_yes':
      return t`Protégée par la réponse oui jusqu'au ${date(it.until)}.`
    case 'new_deal':
      return t`Affaire nouvelle : pas jugée jusqu'au ${date(it.until)}, sauf sur une date de décision saisie par le commercial.`
    case 'moved_back':
      return t`Revenue d'une étape : pas de nouveau signalement jusqu'au ${date(it.until)}.`
    case 'wrong_flag':
      return t`Une personne a retiré le signalement : silence jusqu'au ${date(it.until)}.`
    case 'history_unknown':
      return t`Historique inconnu : un simple avertissement jusqu'au ${date(it.until)}.`
  }
}

function warning(it: Warning): string {
  switch (it.kind) {
    case 'limit_near':
      return t`La limite est atteinte le ${date(it.on)}.`
    case 'no_decision_date':
      return t`Proposition présentée il y a ${days(it.sinceWorkingDays)}, sans date de décision convenue.`
    case 'one_push_left':
      return t`Repoussée ${times(it.pushes)} : encore une fois et l'affaire est signalée.`
    case 'history_unknown':
      return t`Historique inconnu : pas de signalement pour absence de mouvement avant le ${date(it.until)}.`
    case 'no_still_open':
      return t`Réponse non il y a ${days(it.sinceWorkingDays)} et toujours ouverte : merci de la fermer.`
    case 'parked_again':
      return t`Remise en pause jusqu'au ${date(it.until)} sans mouvement depuis la précédente : pas comptée.`
    case 'date_not_counted':
      return t`Deuxième nouvelle date de décision (${date(it.date)}) après un « peut-être » : pas comptée.`
  }
}

function step(one: ExplainStep): string {
  switch (one.step) {
    case 'verdict':
      return t`${names.states[one.state]}${one.rule === null ? '' : t` : ${names.rules[one.rule]}`}`
    case 'clears':
      return t`Ce qui lève le signalement : ${CLEARS[one.rule]}.`
    case 'heading':
      return {
        timeline: 'Ce qui s’est passé',
        rules: 'Les règles',
        decision: 'La décision',
        warnings: 'Avertissements',
        blind: 'Ce que le CRM ne peut pas dire',
      }[one.of]
    case 'created':
      return one.imported
        ? t`${date(one.on)}  importée ; vue par unstall pour la première fois le ${date(one.firstSeen)}, historique inconnu`
        : t`${date(one.on)}  créée`
    case 'event': {
      const { kind, counts, why, field, from, to, source } = one.entry
      const edited =
        kind === 'field_edited' && field !== null ? t`${FIELDS[field] ?? field} modifié` : names.movements[kind]
      const values = field === null ? '' : ` (${shown(from)} → ${shown(to)})`
      const verdict = { strong: 'compte', weak: 'compte pour une affaire en mouvement', no: 'ne compte pas' }[counts]
      const reason = why === null ? '' : t` : ${WHY[why]}`
      return `${date(one.on)}  ${edited}${values}  ${verdict}${reason}  [${plain(source, 40)}]`
    }
    case 'clock':
      return t`Le compteur part du ${date(one.on)} (${names.movements[one.kind]}) : ${days(one.days)}, jours de pause non compris`
    case 'rule': {
      const { rule, holds, value, limit, unit, date: on, derived, capped } = one.check
      if (value === null || limit === null) return t`${names.rules[rule]} : sans objet`
      const against = t`${unit === 'working_days' ? days(value) : value}, limite ${limit}`
      const notes = [on && date(on), derived && 'calculée', capped && 'ramenée à la date la plus tardive admise']
      const noted = notes.filter(Boolean).join(', ')
      return t`${names.rules[rule]} : ${holds ? 'EN CAUSE' : 'pas en cause'}  ${against}${noted && ` (${noted})`}`
    }
    case 'protection':
      return protection(one.protection)
    case 'decision': {
      const { due, derived, answer, answerIsOfEarlierDate } = one.decision
      const set = due === null ? 'aucune' : `${date(due)}${derived ? ' (calculée depuis la proposition)' : ''}`
      const word = answer === null ? 'aucune' : { yes: 'oui', no: 'non', maybe: 'peut-être' }[answer]
      const said = answerIsOfEarlierDate ? 'celle d’une date antérieure, ne compte pas' : word
      return t`Date de décision : ${set}. Réponse : ${said}.`
    }
    case 'warning':
      return warning(one.warning)
    case 'blind':
      return {
        participants: t`Qui a pris part aux rendez-vous et aux appels : chacun compte.`,
        personFromAutomation: t`Une personne d'un workflow déclenché par elle : les deux comptent comme la personne.`,
        history: t`Ce qui précède la première nuit : le compteur part de la création.`,
        replies: t`Les réponses par e-mail : une affaire qui n'avance que par e-mail paraît immobile.`,
        calls: t`Si un appel a abouti.`,
        unknown_actor: t`L'auteur de certains changements ci-dessus : ils comptent comme ceux d'une personne.`,
        unknown_participants: t`Qui a pris part à certains événements ci-dessus : ils comptent.`,
      }[one.what]
    case 'next':
      return one.on === null
        ? t`Seul un événement peut changer cela.`
        : t`Sera réexaminée au plus tard le ${date(one.on)}.`
  }
}

const shown = (value: string | null): string =>
  value === null ? 'vide' : /^\d{4}-\d{2}-\d{2}$/.test(value) ? date(value) : plain(value, 60)

const FIELDS: Readonly<Record<string, string>> = {
  stage: 'étape',
  pipeline: 'pipeline',
  amount: 'montant',
  closeDate: 'date de clôture',
  owner: 'propriétaire',
  category: 'catégorie de prévision',
  stalled: 'signalement',
  decision: 'décision',
  decisionDue: 'date de décision',
  parkedReason: 'motif de pause',
  parkedUntil: 'en pause jusqu’au',
  meeting: 'rendez-vous',
}

export const fr: Texts = {
  language: 'fr',
  names,
  date,
  instant,
  money,
  step,
  explanation(reason) {
    const before = reason.check.rule === 'no_movement' ? '' : t` Dernier mouvement : ${last(reason)}.`
    return cut(`${passed(reason)}${before}`, FIELD_LENGTH)
  },
  task(reason) {
    const name = plain(reason.dealName)
    const worth = reason.amount === null ? '' : ` (${money(reason.amount.value, reason.amount.currency)})`
    const body = [
      t`L'affaire ${name}${worth} n'avance plus.`,
      t`Dernier événement : ${last(reason)}.\nLimite dépassée : ${passed(reason)}\nCe qui lève le signalement : ${CLEARS[reason.check.rule]}.`,
      t`Merci d'obtenir un oui ou un non. Les deux sont de bonnes réponses : un oui fait avancer l'affaire, un non vous rend votre temps et garde votre prévision sincère. Un non n'est reproché à personne. Notez la réponse dans le champ « Decision ».`,
      t`Qu'est-ce qui la retient ? Merci de le choisir dans le champ « Why it stalled » : ${Object.values(names.causes).join(', ')}. Si rien ne peut se passer avant une certaine date, mettez l'affaire en pause : « Parked until » et son motif.`,
      t`Un message que vous pouvez envoyer (unstall n'envoie rien) :\n\n${draft(reason)}`,
    ]
    return { subject: cut(t`Oui ou non ? ${name}`, FIELD_LENGTH), body: body.join('\n\n') }
  },
  completionNote(cause, on) {
    const why = {
      flagged: t`l'affaire est de nouveau signalée`,
      reason_changed: t`le motif a changé`,
      recovered: t`l'affaire avance de nouveau. Bravo`,
      parked: t`l'affaire est en pause`,
      answered_no: t`la réponse est non. Merci : un non clair est une bonne réponse`,
      closed: t`l'affaire est fermée`,
      dismissed: t`une personne a retiré le signalement`,
      reasserted: t`l'affaire a été réexaminée`,
      excluded: t`l'affaire n'est plus suivie`,
      new_decision_date: t`une nouvelle date de décision est convenue`,
      undo: t`l'exécution qui l'avait demandée a été annulée`,
    }[cause]
    return t`Terminée par unstall le ${date(on)} : ${why}.`
  },
  hold(hold) {
    switch (hold.brake) {
      case 'share':
        return t`${hold.newlyStalled} affaires ouvertes sur ${hold.open} nouvellement à l'arrêt, plus de ${Math.round(hold.limit * 100)} % : les données sont peut-être fausses, rien n'est écrit.`
      case 'cap':
        return t`Plus de ${hold.limit} écritures en une exécution : le reste attend la nuit suivante.`
      case 'budget':
        return t`${plain(hold.owner)} a déjà reçu ${hold.limit} ${hold.limit < 2 ? 'nouvelle tâche' : 'nouvelles tâches'} en semaine ${hold.week} : attend la suivante.`
      case 'not_in_preview':
        return t`Absente de l'aperçu confirmé ${hold.preview} : attend une nuit.`
      case 'stale_snapshot':
        return t`L'affaire n'a pas pu être lue cette nuit : rien n'est écrit sans preuve.`
      case 'owner_left':
        return t`Le propriétaire est parti : sur la liste du responsable jusqu'à ce que l'affaire soit reprise.`
      case 'no_owner':
        return t`L'affaire n'a pas de propriétaire : personne à qui demander.`
      case 'new_owner':
        return t`Nouveau propriétaire : pas de tâche jusqu'au ${date(hold.until)}.`
    }
  },
}

// Français : les mots du CRM, de la ligne de commande et du rapport. Oui et non sont tous deux de bonnes réponses ; le
// non doit pouvoir se dire sans crainte. Des dates, jamais de compteurs.
import { textsOf } from './words.ts'

/** French typography: no-break spaces, typographic apostrophes. */
export const typeset = (text: string): string =>
  text
    .replaceAll("'", '’')
    .replace(/ (?=[;?!])/g, '\u202f')
    .replace(/ (?=[:%»])/g, '\u00a0')
    .replaceAll('« ', '«\u00a0')

/** All texts of an object. */
export const typesetAll = <T>(words: T): T =>
  JSON.parse(JSON.stringify(words), (_key, value) => (typeof value === 'string' ? typeset(value) : value))

export const fr = textsOf('fr', 'fr-FR', {
  typeset,
  dated: (text) => text.replace(/^1 /, '1er '),
  days: (n) => `${n} ${n < 2 ? 'jour ouvré' : 'jours ouvrés'}`,
  calendarDays: (n) => `${n} ${n < 2 ? 'jour calendaire' : 'jours calendaires'}`,
  are: (n) => (n < 2 ? 'est' : 'sont'),
  times: (n) => (n === 1 ? 'une fois' : `${n} fois`),
  newTasks: (n) => `${n} ${n < 2 ? 'nouvelle tâche' : 'nouvelles tâches'}`,
  names: {
    rules: {
      decision_overdue: 'Décision en retard',
      answered_maybe: typeset('Réponse « peut-être »'),
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
      archived: 'mise aux archives',
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
  },

  last: '{movement}, le {on:date}',
  passed: {
    decision_overdue: '{due} est passée et aucune réponse n’est enregistrée.',
    answered_maybe: '{due} est passée et la réponse est toujours « peut-être ».',
    second_maybe: 'La réponse est « peut-être » pour la deuxième fois.',
    yes_not_closed:
      "La réponse était oui le {date:date}, mais {limit:days} plus tard l'affaire n'est ni gagnée ni à une étape suivante.",
    close_date_passed: 'La date de clôture du {date:date} est dépassée.',
    close_date_long_passed: 'La date de clôture du {date:date} est dépassée de plus de {limit:days}.',
    pushed_repeatedly: 'La date de clôture a été repoussée {pushes:times}, en dernier lieu le {date:date}.',
    no_movement: "Aucun mouvement depuis le {on:date} ({movement}) ; la limite à l'étape {stage} est de {limit:days}.",
  },
  due: 'La date de décision du {date:date}',
  derived: ' (calculée depuis la proposition)',
  capped: ' (la plus tardive admise ; celle saisie est au-delà)',
  clears: {
    decision_overdue: 'un oui, un non, une étape franchie ou une nouvelle date de décision convenue (une seule)',
    answered_maybe: 'un oui, un non, une étape franchie ou une nouvelle date de décision convenue (une seule)',
    yes_not_closed: "l'affaire gagnée, une étape franchie ou un non",
    close_date_passed: "une date de clôture réaliste, aujourd'hui ou plus tard",
    pushed_repeatedly: 'une étape franchie, un oui ou un non',
    no_movement: "une réponse de l'acheteur, un rendez-vous ou un appel qui a eu lieu, ou une étape franchie",
  },
  draft: {
    closing:
      "Bonjour,\nComme nous n'avons pas abouti à une décision, je suppose que ce n'est pas le bon moment et je " +
      'vais refermer le dossier de mon côté. Je le comprends très bien. Si je me trompe, un mot suffit et je le rouvrirai ' +
      "avec plaisir. Merci pour le temps que vous m'avez accordé.",
    yes:
      "Bonjour,\nEncore merci pour votre oui. Que nous manque-t-il pour avancer, et d'ici quelle date pourrions-nous " +
      'le régler ensemble ? Si quelque chose a changé, dites-le-moi simplement : un non me convient aussi.',
    decision:
      'Bonjour,\nJe voudrais savoir où vous en êtes au sujet de notre proposition.{agreed} Est-ce un oui ou un non ? ' +
      "Les deux sont pour moi de bonnes réponses, et un non n'a pas besoin d'être justifié. S'il vous manque encore " +
      "quelque chose pour décider, de quoi s'agit-il, et d'ici quand pensez-vous pouvoir le faire ?",
    agreed: ' Nous étions convenus du {date:date}.',
    next:
      'Bonjour,\nQuelle serait la bonne prochaine étape de votre côté, et pour quand ? Si vos projets ont changé ou ' +
      "si ce n'est plus une priorité, ce n'est pas grave : un mot suffit, et je ne vous relancerai pas davantage.",
  },
  explained: 'Dernier mouvement : {last}.',
  subject: 'Oui ou non ? {name}',
  task: [
    "L'affaire {name}{worth} n'avance plus.",
    'Dernier événement : {last}.\nPourquoi elle est signalée : {passed}\nCe qui lève le signalement : {clears}.',
    "Merci de demander un oui ou un non. Les deux sont de bonnes réponses : un oui fait avancer l'affaire, un non vous " +
      "fait gagner du temps et rend votre prévision plus juste. Un non n'est reproché à personne. Notez la réponse " +
      'dans le champ « Decision ».',
    "Qu'est-ce qui la retient ? Merci de choisir la cause dans le champ « Why it stalled » : {causes}. Si rien ne peut " +
      "se passer avant une certaine date, mettez l'affaire en pause : remplissez « Parked until » et le motif.",
    "Un message que vous pouvez envoyer si vous le souhaitez (unstall n'envoie rien lui-même) :\n\n{draft}",
  ],
  completed: 'Terminée par unstall le {on:date} : {why}.',
  completions: {
    flagged: "l'affaire est de nouveau signalée",
    reason_changed: 'le motif a changé',
    recovered: "l'affaire avance de nouveau. Bravo",
    parked: "l'affaire est en pause",
    answered_no: 'la réponse est non. Merci : un non clair est une bonne réponse',
    closed: "l'affaire est fermée",
    dismissed: 'une personne a retiré le signalement',
    reasserted: "l'affaire a été réexaminée",
    excluded: "l'affaire n'est plus suivie",
    new_decision_date: 'une nouvelle date de décision a été convenue',
    archived: "l'affaire est archivée. Une réponse de l'acheteur la fait revenir",
    undo: "l'exécution qui l'avait demandée a été annulée",
  },
  holds: {
    share:
      "{newlyStalled:number} affaires ouvertes sur {open:number} nouvellement à l'arrêt, plus de {limit:percent} : les " +
      "données sont peut-être fausses, rien n'est écrit.",
    cap: 'Plus de {limit:number} écritures en une exécution : le reste attend la nuit suivante.',
    budget: '{owner:name} a déjà reçu {limit:tasks} en semaine {week} : attend la suivante.',
    not_in_preview: "Absente de l'aperçu confirmé {preview} : attend une nuit.",
    field_missing:
      "unstall ne peut pas utiliser son champ {field} : il a été supprimé, renommé ou modifié, ou l'accès a été retiré. « unstall check » dit quoi faire.",
    stale_snapshot: "L'affaire n'a pas pu être lue cette nuit : rien n'est écrit sans preuve.",
    owner_left: "Le propriétaire est parti : sur la liste du responsable jusqu'à ce que l'affaire soit reprise.",
    no_owner: "L'affaire n'a pas de propriétaire : personne à qui demander.",
    new_owner: "Nouveau propriétaire : pas de tâche jusqu'au {until:date}.",
  },

  protections: {
    answered_no: "Réponse non : une bonne réponse. Hors prévision jusqu'à la fermeture de l'affaire.",
    meeting: 'Protégée par un rendez-vous prévu le {on:date}.',
    parked: "En pause jusqu'au {until:date}.",
    parked_capped: "En pause jusqu'au {until:date}, date la plus tardive admise ; celle saisie est au-delà.",
    answered_yes: "Protégée par la réponse oui jusqu'au {until:date}.",
    new_deal:
      "Affaire nouvelle : pas jugée jusqu'au {until:date}, sauf sur une date de décision saisie par le commercial.",
    moved_back: "Revenue d'une étape : pas de nouveau signalement jusqu'au {until:date}.",
    wrong_flag: "Une personne a retiré le signalement : silence jusqu'au {until:date}.",
    history_unknown: "Historique inconnu : un simple avertissement jusqu'au {until:date}.",
    archived: 'Dans les archives : jamais signalée là.',
    reactivated: "L'acheteur a répondu le {on:date} : l'affaire sort des archives.",
    old_deal:
      'Morte avant la première nuit et laissée telle quelle, comme le dit la configuration (firstNight.oldDeals).',
  },
  excluded: {
    pipeline: 'Jamais signalée : son pipeline est exclu.',
    stage: 'Jamais signalée : son étape est exclue.',
    type: 'Jamais signalée : son type est exclu.',
    scope: 'Jamais signalée : son propriétaire est hors du périmètre.',
  },
  warnings: {
    limit_near: 'La limite est atteinte le {on:date}.',
    no_decision_date: 'Proposition présentée il y a {sinceWorkingDays:days}, sans date de décision convenue.',
    one_push_left: "Repoussée {pushes:times} : encore une fois et l'affaire est signalée.",
    history_unknown: 'Historique inconnu : pas de signalement pour absence de mouvement avant le {until:date}.',
    no_still_open: 'Réponse non il y a {sinceWorkingDays:days} et toujours ouverte : merci de la fermer.',
    parked_again:
      "Remise en pause jusqu'au {until:date} sans mouvement depuis la pause précédente : celle-ci n'est pas comptée.",
    date_not_counted: 'Deuxième nouvelle date de décision ({date:date}) après un « peut-être » : pas comptée.',
  },
  why: {
    own_write: 'écrit par unstall',
    automation: 'automatique : import, workflow ou intégration',
    not_beyond_furthest: "pas au-delà de l'étape la plus avancée déjà atteinte",
    below_five_percent: 'moins de 5 %',
    not_earlier_than_before: 'pas plus tôt que toutes les dates précédentes',
    rep_only: 'seul le commercial y a pris part',
    no_outside_attendee: "personne de l'extérieur n'y a pris part",
    unknown_participants: "le CRM ne dit pas qui y a pris part ; compté comme l'acheteur",
    unknown_actor: "le CRM ne dit pas qui l'a fait ; compté comme une personne",
    not_movement: 'pas un mouvement',
    unknown_stage: "une étape qui n'existe plus",
    after_flag: 'trop faible pour lever un signalement',
  },
  counts: { strong: 'compte', weak: 'compte pour une affaire en mouvement', no: 'ne compte pas' },
  fields: {
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
  },
  headings: {
    timeline: "Ce qui s'est passé",
    rules: 'Les règles',
    decision: 'La décision',
    warnings: 'Avertissements',
    blind: 'Ce que le CRM ne peut pas dire',
    past: 'Constats précédents',
  },
  blind: {
    participants: 'Qui a pris part aux rendez-vous et aux appels : chacun compte.',
    personFromAutomation:
      "Ce que fait une personne de ce que fait un workflow qu'elle déclenche : tout compte comme d'elle.",
    history: 'Ce qui précède la première nuit : le compteur part de la création.',
    replies: "Les réponses par e-mail : une affaire qui n'avance que par e-mail paraît immobile.",
    calls: 'Si un appel a abouti.',
    unknown_actor: "L'auteur de certains changements ci-dessus : ils comptent comme ceux d'une personne.",
    unknown_participants: 'Qui a pris part à certains événements ci-dessus : ils comptent.',
  },
  answers: {
    yes: 'oui',
    no: 'non',
    maybe: 'peut-être',
    none: 'aucune',
    of_earlier_date: 'celle d’une date antérieure, ne compte pas',
  },
  steps: {
    verdict: '{state} : {rule}',
    clears: 'Ce qui lève le signalement : {what}.',
    out: 'Ne compte pas pour l’instant : {sum}.',
    out_dated: 'Ne compte pas pour l’instant : {sum}, clôture prévue le {on:date}.',
    imported: '{on:date}  importée ; vue par unstall pour la première fois le {firstSeen:date}, historique inconnu',
    created: '{on:date}  créée',
    edited: 'champ modifié : {field}',
    empty: 'vide',
    because: ' : {why}',
    clock: 'Le compteur part du {on:date} ({movement}) : {days:days}, jours de pause non compris',
    not_applicable: '{rule} : sans objet',
    rule: '{rule} : {holds}  {value}, limite {limit}',
    holds: 'EN CAUSE',
    holds_not: 'pas en cause',
    derived: 'calculée',
    capped: 'ramenée à la date la plus tardive admise',
    decision: 'Date de décision : {set}. Réponse : {answer}.',
    no_date: 'aucune',
    next: 'Sera réexaminée au plus tard le {on:date}.',
    never: 'Seul un événement peut changer cela.',
  },
  worth: ', pour {value}',
  backtest: {
    replayed:
      'Fermées du {from:date} au {to:date} : {won:number} gagnées, {lost:number} perdues. Ouvertes : {open:number}.',
    longest:
      "Aucune affaire gagnée n'a mis plus de {days:calendar} de l'étape {stage:name} à la signature. Sur {open:number} " +
      'affaires ouvertes à cette étape, {older:number} {older:are} au-delà{worth}.',
    none_won: "Aucune affaire passée par l'étape {stage:name} n'a été gagnée : rien ne dit combien de temps il faut.",
    flags:
      'Une limite de {limit:days} aurait signalé à tort {wrong:number} affaires gagnées sur {won:number} ' +
      '({wrongShare:percent}) et repéré {caught:number} affaires perdues sur {lost:number} ({caughtShare:percent}).',
    late: "La moitié des perdues repérées l'auraient été au moins {warning:days} avant que la perte soit enregistrée.",
    today: "Aujourd'hui, elle signalerait {beyond:number} affaires ouvertes sur {open:number} à cette étape{worth}.",
    rests: 'Confiance : {won:number} affaires gagnées ; neuf tirages sur dix recommandent {low:number} à {high:days}.',
    default:
      'Affaires gagnées : {won:number}, trop peu pour en tirer une limite (il en faut {enough:number}) : celle-ci est ' +
      'la valeur d’usage.',
    median:
      "La moitié des affaires quittent l'étape en {median:days} ; celles qui y sont encore comptent comme inachevées.",
    moves_on: "Parmi les affaires encore à l'étape après {limit:days}, {movesOn:percent} ont avancé ensuite.",
    nights_know_more:
      'Rendez-vous prévus, pauses et réponses ne sont pas rejoués : les nuits signalent moins de silences.',
    history_short: "Laissées de côté : {n:number} affaires fermées sans étape ouverte suivie dans l'historique.",
    last_only:
      'HubSpot ne garde que la dernière réponse et le dernier rendez-vous. Les silences antérieurs paraissent plus ' +
      'longs : la vraie limite peut être plus courte, pas plus longue.',
    unreadable: "Laissées de côté : {n:number} affaires dont la fiche n'a pas pu être comprise.",
    file:
      "Le fichier dit quand une affaire arrive à l'étape {stage:name} et quand elle est fermée ; ni étapes, ni réponses, " +
      'rendez-vous ou appels. Tout compte comme un silence : la vraie limite peut être plus courte, pas plus longue.',
    file_joined: 'Le fichier ne dit pas lesquelles de {stage:name} une affaire fermée a passées : rejouées ensemble.',
    undated: "Laissées de côté : {n:number} affaires à l'étape {stage:name} sans date d'engagement.",
    list_prices: 'Les montants de {n:number} affaires ouvertes sont des prix catalogue, tirés de {file:name}.',
  },
})

// Français : les mots du rapport. `{…}` sont des trous ; voir `fill`.
import { typesetAll } from './fr.ts'
import type { ReportWords } from './report-en.ts'

export const reportFr: ReportWords = typesetAll({
  title: 'Rapport sur le pipeline',
  nothing:
    "Il n'y a encore rien à rapporter : aucune nuit n'a tourné. Commencez par « unstall plan », puis « unstall run ».",
  ...{ contents: 'Sommaire', none: 'aucun' },
  cut: '{shown} lignes sur {total} sont affichées ici ; toutes sont dans le CSV (unstall report --format csv).',
  kinds: {
    ...{ night: 'Nuit {run}, situation au {at}.', manual: 'Exécution manuelle {run}, situation au {at}.' },
    preview: "Aperçu {run}, situation au {at}. Rien n'a été écrit : voici ce qui le serait.",
    undo: "L'exécution {run} du {at} en a annulé une autre.",
  },
  failed: "L'exécution ne s'est pas terminée : {problem}",
  knownAt:
    'Les listes et les chiffres de la nuit sont ceux de cette nuit ; affaires, cycle de vente, signalements et coaching sont ceux connus au {at}.',
  wrote: 'Fait : {done}. Retenu : {held}. Refusé : {refused}. Laissé tel quel : {left}.',
  meaning:
    "« Sans celles à l'arrêt » laisse aussi de côté celles en pause ou dont la réponse est non : elles ne comptent " +
    "pas tant qu'elles n'avancent pas. La prévision laisse de côté la catégorie « omise ». Les devises ne sont " +
    'jamais additionnées.',
  headings: {
    ...{ night: 'La nuit', forecast: "Pipeline et prévision, avec et sans les affaires à l'arrêt" },
    ...{ history: "L'écart au fil des nuits", stops: "Où les affaires s'arrêtent", cycle: 'Cycle de vente' },
    ...{ coaching: 'Fiche de coaching', quality: 'Les signalements étaient-ils justes ?' },
    ...{ deals: "Les affaires à l'arrêt", warnings: 'Avertissements' },
  },
  sums: {
    ...{ total: 'Toutes les affaires ouvertes', month: 'Par mois de clôture', category: 'Par catégorie de prévision' },
    ...{ owner: 'Par propriétaire', team: 'Par équipe', pipeline: 'Par pipeline' },
  },
  sum: {
    ...{ month: 'Mois', category: 'Catégorie', owner: 'Propriétaire', team: 'Équipe', pipeline: 'Pipeline' },
    ...{ total: 'Devise', deals: 'Affaires', value: 'Pipeline', stalled: "À l'arrêt", moving: "Sans celles à l'arrêt" },
    ...{ forecast: 'Prévision', movingForecast: "Prévision sans celles à l'arrêt" },
  },
  charts: {
    ...{ month: 'Prévision par mois, {currency}', owner: 'Pipeline par propriétaire, {currency}' },
    ...{ history: 'Pipeline ouvert nuit après nuit, {currency}', stops: 'Affaires ouvertes par étape' },
  },
  figures: {
    ...{ open: 'Affaires ouvertes', stalled: "À l'arrêt", newlyStalled: "Nouvellement à l'arrêt" },
    ...{ recovered: 'Reparties', parked: 'En pause', answeredNo: 'Réponse non' },
    dismissed: 'Signalements retirés par une personne',
  },
  lists: {
    ...{ newlyStalled: "Nouvellement à l'arrêt", recovered: 'Reparties : elles avancent de nouveau' },
    ...{ closed: 'Fermées depuis', refused: 'Refusées par le CRM', held: 'Retenues par un frein' },
    leftAlone: "Laissées telles quelles, quelqu'un ayant été plus rapide",
    unreadable: 'Fiches incompréhensibles : elles attendent',
    ...{ dead: 'Mortes avant la première nuit : jamais de tâche', stillStalled: "Toujours à l'arrêt" },
    ...{ parked: 'En pause', answeredNo: "Réponse non : hors prévision jusqu'à leur fermeture" },
    warnings: "En mouvement, mais près d'une limite",
    ownerLeft: "Propriétaire parti : quelqu'un doit reprendre l'affaire",
    noStillOpen: 'Réponse non et toujours ouvertes : à fermer',
    archive: "Longtemps à l'arrêt sans réponse : à archiver ?",
    flagCleared: 'Signalement retiré par une personne : silence pendant dix jours ouvrés',
    categoryTheirs: 'Catégorie de prévision rétablie par une personne : elle reste',
  },
  brakes: { caption: 'Ce qui a été retenu, et pourquoi', writes: 'Écritures', why: 'Pourquoi' },
  dead: {
    days: 'Jours ouvrés sans mouvement',
    from: 'plus de {from}',
    between: '{from} à {to}',
    value: 'Valeur',
    gets: 'Sort prévu',
    ...{ flag: 'un signalement, pas de tâche', archive: 'les archives', nothing: 'rien' },
  },
  cycle: {
    ...{ caption: 'Affaires gagnées depuis un an, jours calendaires de la création au gain', kind: 'Cycle de vente' },
    ...{ mean: 'Moyenne, jours', median: 'Médiane, jours', all: 'Toutes les affaires gagnées' },
    ...{ withoutStalled: 'Sans celles qui se sont un jour arrêtées', active: 'Toutes, en jours actifs' },
    note: "Sont comptés comme jours d'arrêt ceux qui vont de la limite de l'étape au mouvement suivant de l'acheteur, et ceux où unstall tenait l'affaire pour arrêtée ou en pause.",
    leftOut: 'Affaires importées ou sans date, laissées de côté : {n}. Leur début ou leur fin est inconnu.',
  },
  history: { caption: 'Les dernières nuits', night: 'Nuit', gap: 'Écart', share: "Part à l'arrêt" },
  stops: { caption: 'Affaires ouvertes par étape', open: 'Ouvertes', share: "Part à l'arrêt" },
  coaching: {
    ...{ caption: 'Une ligne par commercial', rep: 'Commercial', open: 'Ouvertes', stalled: "À l'arrêt" },
    ...{ value: "Valeur à l'arrêt", stops: "S'arrêtent à", maybes: 'Réponses « peut-être »', pushes: 'Reports' },
    ...{ age: 'Âge médian, jours', idle: 'Arrêt médian, jours ouvrés', causes: 'Causes' },
  },
  quality: {
    ...{ caption: 'Ce que les signalements sont devenus', after: 'Après', days: '{days} jours', flags: 'Signalements' },
    ...{ rules: 'Par règle, à ce jour', rule: 'Règle', change: 'Changement proposé' },
    note: 'À tort : une personne a retiré le signalement. Sans doute à tort : gagnée dans les dix jours ouvrés, sans que la tâche ait été touchée.',
    recovered:
      "Valeur récupérée : {value} (affaires gagnées après un mouvement de l'acheteur qui a suivi notre tâche : {deals}).",
    none: "Aucun signalement n'est encore enregistré.",
  },
  fates: {
    ...{ won: 'Gagnées', lost: 'Perdues', recovered: 'Reparties', stalled: "Toujours à l'arrêt", parked: 'En pause' },
    ...{ answered_no: 'Réponse non', gone: 'Supprimées ou fusionnées', wrong: 'À tort' },
    probably_wrong: 'Sans doute à tort',
  },
  suggestions: {
    ...{ too_few: 'Trop peu de signalements pour le dire', keep: 'Ne rien changer' },
    archive: 'La plupart restent sans réponse : archiver plus tôt (archive.proposeAfterDays)',
    loosen: {
      decision_overdue: 'Trop souvent à tort : plus de jours pour décider (decision.days)',
      answered_maybe: 'Trop souvent à tort : demander aux commerciaux ce que valent leurs « peut-être »',
      yes_not_closed: 'Trop souvent à tort : une étape « signature » montrerait la progression',
      close_date_passed: 'Trop souvent à tort : plus de tolérance (graceDays.closeDate)',
      pushed_repeatedly: 'Trop souvent à tort : admettre un report de plus (pushes)',
      no_movement: 'Trop souvent à tort : une limite plus haute (idleDays)',
    },
  },
  changes: {
    ...{ flagged: 'signalée', reason_changed: 'autre motif', reasserted: 'écrite de nouveau', archived: 'archivée' },
    ...{ new_decision_date: 'nouvelle date de décision', undo: 'annulée', recovered: 'repartie', parked: 'en pause' },
    ...{ answered_no: 'réponse non', closed: 'fermée', dismissed: 'signalement retiré par une personne' },
    excluded: "n'est plus suivie",
  },
  statuses: {
    ...{ planned: 'prévu', sent: 'encore sans réponse', held: 'retenu', dropped: 'laissé à la nuit suivante' },
    ...{ done: 'écrit', refused: 'refusé', left: 'laissé tel quel', undone: 'annulé' },
  },
  answers: { yes: 'oui', no: 'non', maybe: 'peut-être' },
  columns: {
    ...{ connection: 'Connexion', id: 'Identifiant', name: 'Affaire', url: 'Lien', owner: 'Propriétaire' },
    ...{ team: 'Équipe', pipeline: 'Pipeline', stage: 'Étape', category: 'Catégorie de prévision', amount: 'Montant' },
    ...{ currency: 'Devise', closeDate: 'Date de clôture', createdOn: 'Créée', state: 'État', rule: 'Pourquoi' },
    ...{ stalledSince: "À l'arrêt depuis", lastMovement: 'Dernier mouvement', idleDays: 'Jours ouvrés sans mouvement' },
    ...{ pushes: 'Reports', answer: 'Réponse', cause: 'Cause', explanation: 'Explication', change: 'Cette exécution' },
    ...{ changeStatus: "Ce qu'elle est devenue", held: 'Retenue', refused: 'Refusée' },
    ...{ leftAlone: 'Laissée telle quelle', warnings: 'Avertissements', lists: 'Pour le responsable' },
  },
})

// Words of signing in, of what is refused, and of what went wrong, in French; same keys as web-access-en.ts.
import { typeset } from './fr.ts'
import type { AccessWords } from './web-access-en.ts'

/** All texts of an object, with French typography. */
export const typesetAll = <T>(words: T): T =>
  JSON.parse(JSON.stringify(words), (_key, value) => (typeof value === 'string' ? typeset(value) : value))

export const accessFr: AccessWords = typesetAll({
  signIn: 'Se connecter',
  signOut: 'Se déconnecter',
  password: 'Mot de passe',
  ask: "L'exploitant d'unstall vous a donné un mot de passe. Il décide si vous pouvez agir ou seulement consulter.",
  wrong: "Ce mot de passe n'est pas le bon.",
  later: "Trop d'essais. Réessayez dans {minutes} minutes.",
  names: { operator: 'Exploitant', viewer: 'Lecteur' },
  back: 'Continuer avec la première page.',
  problems: {
    host: {
      title: 'Pas à cette adresse',
      words:
        "Sans mot de passe, unstall n'est que pour cette machine. Ouvrez-le par http://127.0.0.1 ou http://localhost.",
    },
    stranger: { title: 'Non connecté', words: "Ouvrez unstall par l'adresse où votre société vous identifie." },
    form: {
      title: 'Non effectué',
      words:
        "Ce formulaire est trop ancien ou ne vient pas d'une page d'unstall. Rouvrez la page et essayez encore une fois.",
    },
    viewer: {
      title: 'Réservé aux exploitants',
      words: 'Vous pouvez tout consulter ici. Agir est réservé aux exploitants.',
    },
    large: { title: 'Trop volumineux', words: "L'envoi dépasse tout formulaire d'unstall. Rien n'a été fait." },
    missing: {
      title: 'Introuvable',
      words: "Cette page, cette exécution ou cette affaire n'existe pas. Elle a pu être supprimée depuis.",
    },
    refused: { title: 'Non effectué', words: '' },
    broken: {
      title: "Une erreur s'est produite",
      words:
        "C'est un défaut d'unstall, ou sa base de données ne répond pas. Le journal en dit plus sous le numéro {id}.",
    },
  },
})

// Words of signing in, of what is refused, and of what went wrong, in English; web-access-fr.ts says the same.
export const accessEn = {
  signIn: 'Sign in',
  signOut: 'Sign out',
  password: 'Password',
  ask: 'The operator of unstall gave you a password. It decides whether you may act or only look.',
  wrong: 'This password is not right.',
  later: 'Too many attempts. Try again in {minutes} minutes.',
  names: { operator: 'Operator', viewer: 'Viewer' },
  back: 'Go on with the first page.',
  problems: {
    host: {
      title: 'Not under this address',
      words: 'Without a password unstall is only for this machine. Open it as http://127.0.0.1 or http://localhost.',
    },
    stranger: {
      title: 'Not signed in',
      words: 'Open unstall through the address at which your company signs you in.',
    },
    form: {
      title: 'Not done',
      words: 'This form is too old, or was not sent from a page of unstall. Open the page again and try once more.',
    },
    viewer: { title: 'Not yours to do', words: 'You may look at everything here. Acting is for operators.' },
    large: { title: 'Too much', words: 'What was sent is larger than any form of unstall. Nothing was done.' },
    missing: { title: 'Not here', words: 'There is no such page, run or deal. It may have been deleted since.' },
    refused: { title: 'Not done', words: '' },
    broken: {
      title: 'Something went wrong',
      words: 'This is a defect of unstall, or its database does not answer. The log says more under the number {id}.',
    },
  },
}

export type AccessWords = typeof accessEn

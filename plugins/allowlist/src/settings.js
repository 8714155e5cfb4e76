// The settings: who is listed on each chain.

const ADDRESS = /^0x[0-9a-f]{40}$/;
const CHAIN = /^[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}$/;
const NAME_LENGTH_MAX = 64;
const PROBLEMS_MAX = 16;

const addresses = (description) => ({
  type: 'object',
  description,
  propertyNames: { pattern: ADDRESS.source },
  additionalProperties: { type: 'string', minLength: 1, maxLength: NAME_LENGTH_MAX, description: 'Its name, for people.' },
});

/** JSON Schema of the settings. */
export const schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'allowlist settings',
  type: 'object',
  additionalProperties: false,
  required: ['chains'],
  properties: {
    chains: {
      type: 'object',
      description: 'What is allowed on each chain, by CAIP-2 id; on any other chain nothing is.',
      minProperties: 1,
      propertyNames: { pattern: CHAIN.source },
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          recipients: addresses('Who may be sent the chain\'s own coin, and listed tokens.'),
          tokens: addresses('Token contracts whose `transfer`, `transferFrom`, `approve` and `decreaseAllowance` are read.'),
          spenders: addresses('Who may be approved to spend listed tokens.'),
          unlimitedApprovals: {
            type: 'boolean',
            default: false,
            description: 'Whether a spender may be approved without limit: for 2^255 and more, 2^160-1 or 2^96-1.',
          },
        },
      },
    },
    otherwise: {
      enum: ['reject', 'abstain'],
      default: 'reject',
      description: 'The verdict on whatever is not allowed. `abstain` leaves it to other plugins and to people.',
    },
  },
  examples: [
    {
      chains: {
        'eip155:1': {
          recipients: { '0x00000000000000000000000000000000000000bb': 'Treasury' },
          tokens: { '0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48': 'USDC' },
        },
      },
    },
  ],
};

/**
 * Reads settings. Answers them with every list present, and what is wrong with them: each bad field with the rule
 * that it breaks.
 */
export function parse(text) {
  const problems = [];
  const wrong = (field, rule) => problems.length < PROBLEMS_MAX && problems.push({ field, rule });
  const document = documentOf(text, wrong);
  if (document === undefined) return { problems };
  onlyKnown(document, ['chains', 'otherwise'], '', wrong);
  const otherwise = document.otherwise ?? 'reject';
  if (otherwise !== 'reject' && otherwise !== 'abstain') wrong('otherwise', 'must be `reject` or `abstain`');
  const chains = new Map();
  if (!isObject(document.chains) || Object.keys(document.chains).length === 0) {
    wrong('chains', 'must be an object with at least one chain');
  } else {
    for (const [chain, listed] of Object.entries(document.chains)) {
      if (!CHAIN.test(chain)) wrong(`chains.${chain}`, 'must be named by a CAIP-2 id, for example `eip155:1`');
      chains.set(chain, chainOf(listed, `chains.${chain}`, wrong));
    }
  }
  return { settings: { chains, otherwise }, problems };
}

function documentOf(text, wrong) {
  try {
    const document = JSON.parse(text);
    if (isObject(document)) return document;
  } catch {
    // Told below: the engine's own words would be no help to an operator.
  }
  wrong('', 'must be a JSON object');
  return undefined;
}

function chainOf(listed, field, wrong) {
  if (!isObject(listed)) {
    wrong(field, 'must be an object');
    return undefined;
  }
  const lists = ['recipients', 'tokens', 'spenders'];
  onlyKnown(listed, [...lists, 'unlimitedApprovals'], `${field}.`, wrong);
  const unlimitedApprovals = listed.unlimitedApprovals ?? false;
  if (typeof unlimitedApprovals !== 'boolean') wrong(`${field}.unlimitedApprovals`, 'must be true or false');
  const [recipients, tokens, spenders] = lists.map((name) => namesOf(listed[name] ?? {}, `${field}.${name}`, wrong));
  return { recipients, tokens, spenders, unlimitedApprovals };
}

function namesOf(listed, field, wrong) {
  const names = new Map();
  if (!isObject(listed)) {
    wrong(field, 'must be an object of addresses and their names');
    return names;
  }
  for (const [address, name] of Object.entries(listed)) {
    if (!ADDRESS.test(address)) wrong(`${field}.${address}`, 'must be `0x` and 40 lower-case hexadecimal digits');
    if (typeof name !== 'string' || name.length === 0 || name.length > NAME_LENGTH_MAX) {
      wrong(`${field}.${address}`, `must be named by 1 to ${NAME_LENGTH_MAX} characters`);
    }
    names.set(address, name);
  }
  return names;
}

function onlyKnown(object, known, prefix, wrong) {
  for (const name of Object.keys(object)) {
    if (!known.includes(name)) wrong(`${prefix}${name}`, `is unknown; there are ${known.join(', ')}`);
  }
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
